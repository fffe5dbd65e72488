"""When people ask: each one session after the other, some in office hours only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiplatform_hub.domain.policy import DAY_SECONDS, HOUR_SECONDS
from aiplatform_hub.domain.twin.trace import TraceSession

OFFICE_OPENS_SECONDS, OFFICE_CLOSES_SECONDS = 8 * HOUR_SECONDS, 20 * HOUR_SECONDS
"""Office hours, in seconds of the day, half-open."""


def office_time(at_seconds: float) -> float:
    """Return the first instant in office hours that is not before an instant; both since 00:00 of the first day."""
    of_day = at_seconds % DAY_SECONDS
    if of_day < OFFICE_OPENS_SECONDS:
        return at_seconds - of_day + OFFICE_OPENS_SECONDS
    return at_seconds if of_day < OFFICE_CLOSES_SECONDS else at_seconds - of_day + DAY_SECONDS + OFFICE_OPENS_SECONDS


def by_user(sessions: Iterable[TraceSession]) -> dict[str, Iterator[TraceSession]]:
    """Return each person's sessions in their order."""
    found: dict[str, list[TraceSession]] = {}
    for session in sorted(sessions, key=lambda each: (each.user, each.sequence)):
        found.setdefault(session.user, []).append(session)
    return {user: iter(theirs) for user, theirs in found.items()}


def asks_at(session: TraceSession, free_seconds: float) -> float:
    """Return when a person asks for a session who has had none since an instant."""
    at_seconds = free_seconds + session.think_seconds
    return office_time(at_seconds) if session.is_office_hours else at_seconds
