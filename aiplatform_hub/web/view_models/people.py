"""People for an admin: who has which tier, and where each limit comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode
from uuid import UUID

from aiplatform_hub.catalog.loader import Inspection
from aiplatform_hub.clients.hub_api import HubPeople
from aiplatform_hub.domain.catalog import Catalog, LimitAmount
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.limit_grants import GRANTED, GrantScope, LimitGrant, key_of, limit_name
from aiplatform_hub.domain.limits import PROJECT, USER, Limit, LimitUsage
from aiplatform_hub.domain.people import TierChoice
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.operations.people import PersonRecord, PersonRights
from aiplatform_hub.storage.grants import Grant
from aiplatform_hub.web.view_models.catalogue import limit_text, origin_text
from aiplatform_hub.web.view_models.formats import Stamp, amount, count, percent, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, project_label, tier_label
from aiplatform_hub.web.view_models.paths import Paths


@dataclass(frozen=True, slots=True)
class Choice:
    """One option of a list."""

    value: str
    label: str
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One person in the list."""

    name: str
    url: str
    is_admin: bool
    tier: str
    tier_from: str
    until: Stamp | None
    """When a granted tier ends."""
    groups: str
    projects: str
    holds: str


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant."""

    id: UUID
    user: str
    user_url: str
    tier: str
    until: Stamp | None
    reason: str
    by: str
    at: Stamp | None
    state: str
    tone: str
    end_url: str
    """Where it is ended; empty if it is over."""
    restore_url: str
    """Where its end is taken back; empty if that cannot be."""
    is_limit: bool = False
    """Whether it raises a limit; then ``tier`` holds that in words, and ``user`` may be a group."""


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """What People shows."""

    rows: tuple[PersonRow, ...]
    found: str
    """How many there are, in words."""
    search: str
    projects: tuple[Choice, ...]
    previous_url: str
    next_url: str
    grants: tuple[GrantRow, ...]
    """In force, of everybody."""


@dataclass(frozen=True, slots=True)
class LimitRow:
    """One limit, what is used of it, and where it comes from."""

    label: str
    limit: str
    used: str
    percent: int | None
    """How much of it is used; None where nobody measured."""
    held_by: str
    source: str
    origin: str
    """File and line, or the setting; empty if it has none."""
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class GrantForm:
    """What was typed into the form, and what is wrong with it."""

    tier: str = ""
    last_day: str = ""
    reason: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Sentence by field; under an empty name what concerns none of them."""


@dataclass(frozen=True, slots=True)
class RaiseForm:
    """What was typed to raise a limit, and what is wrong with it."""

    limit: str = ""
    amount: str = ""
    whom: str = ""
    """``user``, or ``group:`` with the group's name."""
    last_day: str = ""
    reason: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    """As of :class:`GrantForm`."""


@dataclass(frozen=True, slots=True)
class PersonPage:
    """What one person's page shows."""

    name: str
    is_admin: bool
    tier: str
    why: str
    """Why it is this tier, as a sentence."""
    groups: str
    projects: tuple[tuple[str, str], ...]
    """Title and address of each."""
    holds: str
    limits: tuple[LimitRow, ...]
    grants: tuple[GrantRow, ...]
    tiers: tuple[Choice, ...]
    form: GrantForm
    grant_url: str
    look_url: str
    done: GrantRow | None
    """The grant that was just made, ended or restored."""
    raised: tuple[GrantRow, ...]
    """Raised limits of the person and their groups."""
    raisable: tuple[Choice, ...]
    whom: tuple[Choice, ...]
    raise_form: RaiseForm
    raise_url: str


def people_url(paths: Paths, name: str = "") -> str:
    """Return the list's address, or a person's."""
    return f"{paths.platform}admin/people" + (f"/{quote(name, safe='')}" if name else "")


def people_page(  # noqa: PLR0913  keyword-only
    found: HubPeople,
    records: Sequence[PersonRecord],
    *,
    search: str,
    project: str,
    offset: int,
    limit: int,
    grants: Sequence[Grant],
    catalog: Catalog,
    now: datetime,
    paths: Paths,
) -> PeoplePage:
    """Return the list."""

    def page_at(position: int) -> str:
        query = {"search": search, "project": project, "cursor": str(position) if position else ""}
        given = urlencode({name: value for name, value in query.items() if value})
        return people_url(paths) + (f"?{given}" if given else "")

    shown = f"{offset + 1}–{offset + len(records)} of {found.total:,}" if len(records) < found.total else count(found.total, "person", "people")
    return PeoplePage(
        rows=tuple(person_row(record, catalog, paths) for record in records),
        found=shown,
        search=search,
        projects=tuple(Choice(each.name, each.display_name, each.name == project) for each in catalog.projects.values() if not each.is_personal),
        previous_url=page_at(max(0, offset - limit)) if offset else "",
        next_url=page_at(offset + limit) if offset + limit < found.total else "",
        grants=tuple(grant_row(grant, catalog, now, paths) for grant in grants),
    )


def person_row(record: PersonRecord, catalog: Catalog, paths: Paths) -> PersonRow:
    """Return one person."""
    return PersonRow(
        name=record.user.name,
        url=people_url(paths, record.user.name),
        is_admin=record.user.is_admin,
        tier=record.tier.tier.display_name,
        tier_from=_tier_from(record.tier),
        until=stamp(record.grant.expires_at) if record.grant and record.tier.is_granted else None,
        groups=", ".join(sorted(record.user.groups)),
        projects=", ".join(project_label(catalog, project.name) for project in record.projects),
        holds=_holds(record),
    )


def person_page(  # noqa: PLR0913  keyword-only
    rights: PersonRights,
    *,
    policy: Policy,
    policy_version: int,
    max_queued: int,
    files: Inspection,
    catalog: Catalog,
    form: GrantForm,
    done: UUID | None,
    now: datetime,
    paths: Paths,
    limit_grants: Sequence[LimitGrant] = (),
    raise_form: RaiseForm | None = None,
) -> PersonPage:
    """Return one person's page."""
    record, raise_form = rights.record, raise_form or RaiseForm()
    raised = tuple(limit_grant_row(grant, record.user.name, catalog, now, paths) for grant in limit_grants)
    grants = tuple(grant_row(grant, catalog, now, paths) for grant in rights.grants)
    limits = [limit_row(row, record.tier, files, catalog) for row in rights.limits]
    for project in record.projects:
        if project.name in policy.project_limits:
            text = count(policy.project_limits[project.name], "GPU")
            limits.append(LimitRow(f"GPUs of {project.display_name}", text, "", None, "", "policy of the queue", f"project_limits, version {policy_version}"))
    limits.append(LimitRow("Requests in the queue", str(max_queued), "", None, "", "the same for everybody", "c.AIPlatform.max_queued_per_user"))
    return PersonPage(
        name=record.user.name,
        is_admin=record.user.is_admin,
        tier=record.tier.tier.display_name,
        why=tier_sentence(record.tier, record.grant),
        groups=", ".join(sorted(record.user.groups)) or "none",
        projects=tuple((project.display_name, f"{paths.platform}admin/projects#project-{quote(project.name, safe='')}") for project in record.projects),
        holds=_holds(record) or "nothing",
        limits=tuple(limits),
        grants=grants,
        tiers=tuple(Choice(t.name, _tier_choice_text(t.display_name, t.limits, catalog), t.name == form.tier) for t in catalog.tiers.values()),
        form=form,
        grant_url=f"{people_url(paths, record.user.name)}/grants",
        look_url=f"{paths.platform}admin/catalogue?{urlencode({'as_user': record.user.name})}",
        done=next((row for row in (*grants, *raised) if row.id == done), None),
        raised=raised,
        raisable=tuple(_raisable(row, raise_form, catalog) for row in rights.limits if row.limit.scope == USER),
        whom=_whom(record, raise_form),
        raise_form=raise_form,
        raise_url=f"{people_url(paths, record.user.name)}/limits",
    )


def _raisable(row: LimitUsage, form: RaiseForm, catalog: Catalog) -> Choice:
    limit = row.limit
    name = limit_name(key_of(limit))
    return Choice(name, f"{_limit_label(limit, catalog)}, now {amount(limit.dimension, limit.amount)}", name == form.limit)


def _whom(record: PersonRecord, form: RaiseForm) -> tuple[Choice, ...]:
    groups = (Choice(f"group:{name}", f"Everybody in the group {name}", form.whom == f"group:{name}") for name in sorted(record.user.groups))
    return (Choice("user", f"{record.user.name} alone", form.whom == "user"), *groups)


def tier_sentence(choice: TierChoice, grant: Grant | None) -> str:
    """Return why a person has their tier."""
    if choice.is_granted and grant is not None:
        sentence = f"Granted by {grant.granted_by}: {grant.reason}"
    elif choice.groups:
        sentence = f"Through the group{'s' if len(choice.groups) > 1 else ''} {', '.join(choice.groups)}."
    else:
        sentence = "The tier of whoever has no other: no group and no grant gives one."
    if choice.outranked:
        others = ", ".join(tier.display_name for tier in choice.outranked)
        sentence += f" It ranks above {others}, which this person has too."
    return sentence


def limit_row(row: LimitUsage, choice: TierChoice, files: Inspection, catalog: Catalog) -> LimitRow:
    """Return one limit with where its number comes from."""
    limit, label = row.limit, _limit_label(row.limit, catalog)
    if limit.scope == PROJECT:
        kind, name, source = "projects", limit.subject, f"project {project_label(catalog, limit.subject)}, shared by its members"
        label += f" of {project_label(catalog, limit.subject)}"
    else:
        kind, name, source = "tiers", choice.tier.name, f"tier {choice.tier.display_name}, {_tier_from(choice)}"
    is_known, is_granted = row.used is not None, limit.source.startswith(GRANTED)
    return LimitRow(
        label=label,
        limit=amount(limit.dimension, limit.amount),
        used=amount(limit.dimension, row.used) if is_known else "not measured",
        percent=percent(row.used, limit.amount) if row.used is not None else None,
        held_by=", ".join(row.held_by),
        source=limit.source if is_granted else source,
        origin="" if is_granted else origin_text(files.origins.get(kind, {}).get(name)),
        is_full=row.used is not None and row.used >= limit.amount,
    )


def grant_row(grant: Grant, catalog: Catalog, now: datetime, paths: Paths) -> GrantRow:
    """Return one grant."""
    here = f"{people_url(paths, grant.user_name)}/grants/{grant.id}"
    is_in_force = grant.is_in_force(now)
    state = "in force" if is_in_force else "ended" if grant.revoked_at else "over"
    return GrantRow(
        id=grant.id,
        user=grant.user_name,
        user_url=people_url(paths, grant.user_name),
        tier=tier_label(catalog, grant.tier),
        until=stamp(grant.expires_at),
        reason=grant.reason,
        by=grant.granted_by,
        at=stamp(grant.granted_at),
        state=state,
        tone="good" if is_in_force else "",
        end_url=f"{here}/end" if is_in_force else "",
        restore_url=f"{here}/restore" if grant.revoked_at is not None and grant.expires_at > now else "",
    )


def _limit_label(limit: Limit | LimitGrant, catalog: Catalog) -> str:
    label = f"{gpu_label(catalog, limit.gpu_type)} GPUs" if limit.gpu_type else DIMENSIONS[limit.dimension].label
    return f"{label} in {count(limit.window_days, 'day')}" if limit.window_days else label


def limit_grant_row(grant: LimitGrant, user_name: str, catalog: Catalog, now: datetime, paths: Paths) -> GrantRow:
    """Return a raised limit on the page of a person whom it is for."""
    here, is_in_force = f"{people_url(paths, user_name)}/limits/{grant.id}", grant.is_in_force(now)
    return GrantRow(
        id=grant.id,
        user=f"group {grant.name}" if grant.scope is GrantScope.GROUP else grant.name,
        user_url=people_url(paths, user_name),
        tier=f"{_limit_label(grant, catalog)}: {amount(grant.dimension, grant.amount)}",
        until=stamp(grant.expires_at),
        reason=grant.reason,
        by=grant.granted_by,
        at=stamp(grant.granted_at),
        state="in force" if is_in_force else "ended" if grant.revoked_at else "over",
        tone="good" if is_in_force else "",
        end_url=f"{here}/end" if is_in_force else "",
        restore_url=f"{here}/restore" if grant.revoked_at is not None and grant.expires_at > now else "",
        is_limit=True,
    )


def _tier_from(choice: TierChoice) -> str:
    if choice.is_default:
        return "by default"
    return "by a grant" if choice.is_granted else f"through {' and '.join(choice.groups)}"


def _holds(record: PersonRecord) -> str:
    if not record.sessions:
        return ""
    text = count(record.sessions, "session")
    return f"{text}, {count(record.gpus, 'GPU')}" if record.gpus else text


def _tier_choice_text(title: str, limits: Sequence[LimitAmount], catalog: Catalog) -> str:
    gpus = ", ".join(limit_text(limit, catalog) for limit in limits if limit.dimension == "gpus")
    return f"{title} ({gpus})" if gpus else title
