"""What admins tell everybody: who sees it when, and which starts a maintenance window concerns. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from aiplatform_hub.errors import Reason

AHEAD = timedelta(days=14)
"""So long before it begins, a maintenance window is shown."""
OPEN_ENDED = timedelta(hours=24)
"""A start without a planned length is told of windows that begin within this time."""
MAX_CHARACTERS = 500
"""Longest text."""
MAX_SPAN = timedelta(days=366)
"""Longest time from first to last instant."""


class Level(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


_URGENCY = {Level.CRITICAL: 0, Level.WARNING: 1, Level.INFO: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an admin wants to tell. Instants are aware UTC."""

    text: str
    level: Level
    starts_at: datetime
    ends_at: datetime
    """Exclusive."""
    is_maintenance: bool = False
    """Whether the span is a maintenance window: it is shown ahead, and starts that reach into it are told so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement(Draft):
    """What an admin told."""

    id: int
    created_by: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    """None unless an admin took it back."""


def faults(draft: Draft, now: datetime) -> tuple[Reason, ...]:
    """Return everything that is wrong with what somebody wants to tell."""
    found = []
    if not draft.text.strip():
        found.append(("text", "Write what everybody should know."))
    elif len(draft.text) > MAX_CHARACTERS:
        found.append(("text", f"The text has {len(draft.text)} characters; at most {MAX_CHARACTERS} are shown."))
    if draft.ends_at <= draft.starts_at:
        found.append(("ends_at", "It must end after it begins."))
    elif draft.ends_at <= now:
        found.append(("ends_at", "Its end is past: nobody would see it."))
    elif draft.ends_at - draft.starts_at > MAX_SPAN:
        found.append(("ends_at", f"It must end within {MAX_SPAN.days} days of its begin."))
    return tuple(Reason("invalid_option", message, field=field) for field, message in found)


def is_shown(one: Announcement, now: datetime) -> bool:
    """Return whether everybody sees it at an instant."""
    begins = one.starts_at - AHEAD if one.is_maintenance else one.starts_at
    return one.withdrawn_at is None and begins <= now < one.ends_at


def shown(announcements: Iterable[Announcement], now: datetime) -> tuple[Announcement, ...]:
    """Return what everybody sees at an instant, the most urgent first and then what begins first."""
    return tuple(sorted((one for one in announcements if is_shown(one, now)), key=lambda one: (_URGENCY[one.level], one.starts_at, one.id)))


def planned_end(since: datetime | None, max_hours: int | None) -> datetime | None:
    """Return when a session ends whose owner planned so many hours; None where nothing is planned or it has not begun."""
    return since + timedelta(hours=max_hours) if since and max_hours else None


def in_the_way(announcements: Iterable[Announcement], start: datetime, planned_end: datetime | None) -> tuple[Announcement, ...]:
    """Return the maintenance windows that a session reaches into, the first to begin first.

    Parameters
    ----------
    start
        When the session begins, or now for one that runs.
    planned_end
        Exclusive; None where its owner planned none.
    """
    end = planned_end or start + OPEN_ENDED
    windows = (one for one in announcements if one.is_maintenance and one.withdrawn_at is None)
    return tuple(sorted((one for one in windows if one.starts_at < end and start < one.ends_at), key=lambda one: (one.starts_at, one.id)))
