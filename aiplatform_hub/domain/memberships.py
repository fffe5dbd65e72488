"""Who belongs to which project from when until when, beside the JupyterHub groups of the catalogue. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Membership:
    """One person in one project for a span, half-open, in aware UTC."""

    id: UUID
    user_name: str
    project: str
    starts_at: datetime
    ends_at: datetime | None
    """As it was planned, exclusive; None for no end."""
    reason: str
    added_by: str
    added_at: datetime
    ended_at: datetime | None = None
    """When an admin ended it early; rows are never deleted."""
    ended_by: str | None = None

    @property
    def until(self) -> datetime | None:
        """When it counts no longer: the earlier of the two ends."""
        ends = [end for end in (self.ends_at, self.ended_at) if end is not None]
        return min(ends) if ends else None

    def counts_at(self, instant: datetime) -> bool:
        """Return whether the person belongs to the project at an instant."""
        return self.starts_at <= instant and (self.until is None or instant < self.until)

    def is_over(self, instant: datetime) -> bool:
        """Return whether it counts neither now nor later."""
        return self.until is not None and self.until <= max(instant, self.starts_at)

    def overlaps(self, other: Membership) -> bool:
        """Return whether the same person is in the same project twice at some instant."""
        if (self.user_name, self.project) != (other.user_name, other.project):
            return False
        start = max(self.starts_at, other.starts_at)
        return all(one.until is None or start < one.until for one in (self, other))


def projects_by_user(found: Iterable[Membership], instant: datetime) -> dict[str, frozenset[str]]:
    """Return the projects to which people belong at an instant, by name of the person."""
    projects: dict[str, set[str]] = {}
    for each in found:
        if each.counts_at(instant):
            projects.setdefault(each.user_name, set()).add(each.project)
    return {name: frozenset(mine) for name, mine in projects.items()}
