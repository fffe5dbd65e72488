"""How long sessions without GPUs may be unused, for a reader's own ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.inactivity import InactivityLimit, Rule
from aiplatform_hub.domain.release_sentences import length
from aiplatform_hub.web.view_models.labels import project_label, template_label, tier_label


@dataclass(frozen=True, slots=True)
class UnusedRow:
    """One of the limits that may hold; of those that fit a session the first one does."""

    which: str
    after: str


def unused_rows(limits: Sequence[InactivityLimit], catalog: Catalog) -> tuple[UnusedRow, ...]:
    """Return the limits as :func:`aiplatform_hub.domain.inactivity.limits_in_order` gives them; none where one holds for everything."""
    if len(limits) == 1 and limits[0].rule is Rule.PLACE:
        return ()
    return tuple(UnusedRow(_which(limit, catalog, is_first=number == 0), _after(limit)) for number, limit in enumerate(limits))


def unused_sentence(limit: InactivityLimit, catalog: Catalog) -> str:
    """Return when a running session without GPUs ends, and what says so."""
    whose = {
        Rule.PROJECT: f", the limit of the project {project_label(catalog, limit.name)}",
        Rule.TIER: f", the limit of the tier {tier_label(catalog, limit.name)}",
        Rule.ENVIRONMENT_TEMPLATE: f", the limit of {template_label(catalog, limit.name)}",
        Rule.PLACE: "",
    }[limit.rule]
    if limit.after_seconds is None:
        return "It runs until you stop it, used or not."
    return f"It ends once nobody has used it for {length(limit.after_seconds)}{whose}."


def _which(limit: InactivityLimit, catalog: Catalog, *, is_first: bool) -> str:
    if limit.rule is Rule.PROJECT:
        return f"In the project {project_label(catalog, limit.name)}"
    if limit.rule is Rule.TIER:
        tier = tier_label(catalog, limit.name)
        return f"All, as your tier is {tier}" if is_first else f"All others, as your tier is {tier}"
    return template_label(catalog, limit.name) if limit.rule is Rule.ENVIRONMENT_TEMPLATE else "All others"


def _after(limit: InactivityLimit) -> str:
    return "never" if limit.after_seconds is None else f"after {length(limit.after_seconds)}"
