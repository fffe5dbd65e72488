"""The catalogue for an admin: what is on offer, where it stands, and how one person sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from aiplatform_hub.catalog.loader import DEFAULT_DIR, DEMO_DIR, Inspection, Origin
from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate, LimitAmount, NodePool, Project, Range, RateCard, Tier
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.web.view_models.formats import amount, count
from aiplatform_hub.web.view_models.labels import gpu_label, project_label, tier_label
from aiplatform_hub.web.view_models.paths import Paths


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One entry."""

    name: str
    title: str
    note: str
    """What it says, in short."""
    origin: str
    """File and line."""
    state: str = ""
    tone: str = ""
    trouble: str = ""
    """Why nobody can start it here; empty where somebody can."""


@dataclass(frozen=True, slots=True)
class Group:
    """The entries of one kind."""

    id: str
    heading: str
    rows: tuple[EntryRow, ...]
    is_folded: bool = False
    """Whether the list is opened only on demand: it is long, and seldom looked at."""


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An environment as one person sees it."""

    title: str
    state: str
    tone: str
    reason: str


@dataclass(frozen=True, slots=True)
class Look:
    """What one person is offered."""

    user_name: str
    person_url: str
    tier: str
    groups: str
    projects: str
    offers: tuple[OfferRow, ...]


@dataclass(frozen=True, slots=True)
class CataloguePage:
    """What Catalogue shows."""

    problems: tuple[str, ...]
    folders: tuple[str, ...]
    kinds: tuple[Group, ...]
    look: Look | None


def catalogue_page(  # noqa: PLR0913  keyword-only
    catalog: Catalog, files: Inspection, *, folders: tuple[str, ...], unavailable: Mapping[str, str], now: datetime, look: Look | None
) -> CataloguePage:
    """Return the page.

    Parameters
    ----------
    files
        Where each entry stands now.
    unavailable
        Why an environment template cannot be started here, by name.
    """
    card = card_at(catalog.rate_cards, now)

    def rows(kind: str, names: Iterable[str], title: Callable[[str], str], note: Callable[[str], str]) -> tuple[EntryRow, ...]:
        known = files.origins.get(kind, {})
        return tuple(EntryRow(name, title(name), note(name), origin_text(known.get(name))) for name in names)

    templates, tiers, projects, pools = catalog.environment_templates, catalog.tiers, catalog.projects, catalog.node_pools
    cards = {each.version: each for each in catalog.rate_cards}
    plain = [
        Group("tiers", "Tiers", rows("tiers", tiers, lambda n: tiers[n].display_name, lambda n: tier_note(tiers[n], catalog))),
        Group("projects", "Projects", rows("projects", projects, lambda n: projects[n].display_name, lambda n: project_note(projects[n], catalog))),
        Group("centres", "Cost centres", rows("cost_centres", catalog.cost_centres, lambda n: catalog.cost_centres[n].display_name, lambda _: "")),
        Group(
            "gpu-types",
            "GPU types",
            rows("gpu_types", catalog.gpu_types, lambda n: catalog.gpu_types[n].display_name, lambda n: _matched(catalog, n)),
            is_folded=True,
        ),
        Group("rates", "Rate cards", rows("rates", cards, lambda n: n, lambda n: _rate_note(cards[n], card))),
        Group("pools", "Node pools", rows("node_pools", pools, lambda n: pools[n].display_name, lambda n: _pool_note(pools[n], catalog))),
    ]
    known = files.origins.get("environment_templates", {})
    offered = tuple(_template_row(each, unavailable.get(each.name, ""), known.get(each.name)) for each in templates.values())
    kinds = (Group("environments", "Environments", offered), *(group for group in plain if group.rows))
    return CataloguePage(problems=files.problems, folders=folders, kinds=kinds, look=look)


def look_as(caller: Caller, tier: str, reasons: Mapping[str, str | None], catalog: Catalog, paths: Paths) -> Look:
    """Return what one person is offered.

    Parameters
    ----------
    reasons
        Why they cannot start an environment template, by name; None where they can.
    """
    offers = []
    for template in catalog.environment_templates.values():
        reason = reasons.get(template.name)
        offers.append(OfferRow(template.display_name, "greyed" if reason else "offered", "" if reason else "good", reason or ""))
    return Look(
        user_name=caller.user_name,
        person_url=f"{paths.platform}admin/people/{quote(caller.user_name, safe='')}",
        tier=tier_label(catalog, tier),
        groups=", ".join(sorted(caller.groups)) or "none",
        projects=", ".join(project_label(catalog, project.name) for project in catalog.projects_of(caller.groups, caller.projects)) or "none",
        offers=tuple(offers),
    )


def origin_text(origin: Origin | None) -> str:
    """Return where an entry stands: folder, file and line; what is built in, without its folder."""
    if origin is None:
        return "not in the files any more"
    for folder, label in ((DEFAULT_DIR, "built in"), (DEMO_DIR, "demo")):
        if origin.file.parent == folder:
            return f"{label}, {origin.file.name}:{origin.line}"
    return f"{origin.file}:{origin.line}" if origin.line else str(origin.file)


def limit_text(limit: LimitAmount, catalog: Catalog) -> str:
    """Return a limit in few words, for example ``2 GPUs`` or ``Memory 32 GiB``."""
    label = DIMENSIONS[limit.dimension].label
    if limit.dimension == "gpus":
        kind = gpu_label(catalog, limit.gpu_type)
        return count(int(limit.amount), f"{kind} GPU" if kind else "GPU")
    text = f"{label} {amount(limit.dimension, limit.amount)}"
    return f"{text} in {count(limit.window_days, 'day')}" if limit.window_days else text


def tier_note(tier: Tier, catalog: Catalog) -> str:
    """Return a tier's limits and groups."""
    parts = [limit_text(limit, catalog) for limit in tier.limits]
    whose = f"for {' or '.join(tier.groups)}" if tier.groups else ""
    return "; ".join(filter(None, (", ".join(parts) or "no limits", whose, f"priority {tier.priority}")))


def project_note(project: Project, catalog: Catalog) -> str:
    """Return a project's members, pool and cost centre."""
    whose = "everybody's own" if project.is_personal else f"members of {' or '.join(project.groups)}" if project.groups else "no members"
    pool = ", ".join(limit_text(limit, catalog) for limit in project.limits)
    return "; ".join(filter(None, (whose, pool and f"together {pool}", f"charged to {project.cost_centre}")))


def _template_row(template: EnvironmentTemplate, trouble: str, origin: Origin | None) -> EntryRow:
    parts = [f"{_span(template.gpus)} GPUs", f"{_span(template.memory_gib)} GiB", f"{_span(template.cpu_cores)} cores"]
    if template.gpu_types:
        parts.append(f"only {' or '.join(template.gpu_types)}")
    if template.allowed_groups:
        parts.append(f"only for {' or '.join(template.allowed_groups)}")
    state, tone = ("cannot be started", "warn") if trouble else ("offered", "good")
    return EntryRow(template.name, template.display_name, ", ".join(parts), origin_text(origin), state, tone, trouble)


def _span(allowed: Range) -> str:
    return str(allowed.minimum) if allowed.minimum == allowed.maximum else f"{allowed.minimum}–{allowed.maximum}"


def _matched(catalog: Catalog, name: str) -> str:
    fragments = catalog.gpu_types[name].match
    return f"named like {', '.join(fragments)}" if fragments else ""


def _rate_note(one: RateCard, in_force: RateCard) -> str:
    now = "in force now" if one.version == in_force.version else ""
    return "; ".join(filter(None, (f"from {one.effective_from:%Y-%m-%d}, {one.currency}", now)))


def _pool_note(pool: NodePool, catalog: Catalog) -> str:
    kind = gpu_label(catalog, pool.gpu_type)
    return f"{count(pool.max_nodes, 'node')} at most, {count(pool.gpus_per_node, f'{kind} GPU')} each"
