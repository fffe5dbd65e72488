"""Who belongs to which project from when until when, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.memberships import Membership
from aiplatform_hub.web.view_models.formats import Stamp, stamp
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.people import people_url
from aiplatform_hub.web.view_models.problem import Problem

_NOTHING = dict.fromkeys(("user", "project", "first_day", "last_day", "reason"), "")
MOST_OVER = 50
"""So many memberships that are over are shown, those that ended last."""


@dataclass(frozen=True, slots=True)
class MembershipRow:
    """One membership."""

    user: str
    user_url: str
    project: str
    start: Stamp | None
    end: Stamp | None
    """None for no end."""
    reason: str
    by: str
    state: str
    tone: str
    end_url: str
    """Empty where it is over."""


@dataclass(frozen=True, slots=True)
class MembershipsPart:
    """The memberships of Admin's page of projects, with the form that gives one."""

    rows: tuple[MembershipRow, ...]
    """What counts, then what is to come."""
    over: tuple[MembershipRow, ...]
    projects: tuple[tuple[str, str], ...]
    """Names and titles to choose from."""
    action: str
    typed: Mapping[str, str] = field(default_factory=dict)
    """What was typed into a form that was refused."""
    problem: Problem | None = None
    done: str = ""


def memberships_part(  # noqa: PLR0913  what the part shows
    found: Iterable[Membership], catalog: Catalog, paths: Paths, now: datetime, *, typed: Mapping[str, str], problem: Problem | None, done: str
) -> MembershipsPart:
    """Return the memberships, worded."""
    action = f"{paths.platform}admin/projects/members"
    ordered = sorted(found, key=lambda each: (each.is_over(now), not each.counts_at(now), each.project, each.user_name, each.starts_at))
    rows = tuple(_row(each, paths, now, action) for each in ordered if not each.is_over(now))
    over = sorted((each for each in ordered if each.is_over(now)), key=lambda each: each.until or now, reverse=True)
    projects = tuple((each.name, each.display_name) for each in sorted(catalog.projects.values(), key=lambda one: one.name) if not each.is_personal)
    return MembershipsPart(rows, tuple(_row(each, paths, now, action) for each in over[:MOST_OVER]), projects, action, {**_NOTHING, **typed}, problem, done)


def _row(one: Membership, paths: Paths, now: datetime, action: str) -> MembershipRow:
    state, tone = ("counts", "good") if one.counts_at(now) else ("over", "") if one.is_over(now) else ("to come", "")
    return MembershipRow(
        user=one.user_name,
        user_url=people_url(paths, one.user_name),
        project=one.project,
        start=stamp(one.starts_at),
        end=stamp(one.until),
        reason=one.reason,
        by=one.added_by if one.ended_by is None else f"{one.added_by}, ended by {one.ended_by}",
        state=state,
        tone=tone,
        end_url="" if one.is_over(now) else f"{action}/{one.id}/end",
    )
