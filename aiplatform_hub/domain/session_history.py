"""Past sessions as demand: what people would ask for again, whatever the policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from uuid import UUID

from aiplatform_hub.domain.policy import DAY_SECONDS
from aiplatform_hub.domain.twin.people import OFFICE_CLOSES_SECONDS, OFFICE_OPENS_SECONDS
from aiplatform_hub.domain.twin.trace import TraceSession

OFFICE_FRACTION = 0.9
"""Who asks at least this often in office hours asks in office hours only."""


@dataclass(frozen=True, slots=True)
class PastSession:
    """One session that held GPUs. All instants are aware."""

    id: UUID
    user_id: int
    user_name: str
    project: str
    gpus: int
    requested_at: datetime
    started_at: datetime
    ended_at: datetime
    """For one that still runs: until when it is reckoned."""
    idle_seconds: float = 0.0
    """How long its GPUs are known to have been idle, in seconds."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Past sessions as sessions of a trace."""

    sessions: tuple[TraceSession, ...]
    """In order of user and sequence."""
    users: int
    overlapping: int
    """Sessions asked for before the same person's last had ended; in a trace they come one after the other."""


def midnight(instant: datetime, zone: tzinfo) -> datetime:
    """Return the 00:00 of a zone with which the day of an instant begins."""
    return datetime.combine(instant.astimezone(zone).date(), time(), tzinfo=zone)


def demand(past: Iterable[PastSession], start: datetime, zone: tzinfo, *, are_names_kept: bool) -> Demand:
    """Return the demand that past sessions show.

    A session is work, and then what is known to have been idle: where in it that was makes no difference to a trace. What is
    not known counts as work.

    Parameters
    ----------
    start
        Start of the trace: a 00:00 of the zone, before the first request.
    zone
        Where office hours are reckoned.
    are_names_kept
        Whether users keep their names; else they are ``user00``, ``user01``, … in order of their first request.
    """
    people: dict[int, list[PastSession]] = {}
    for session in sorted(past, key=lambda each: (each.requested_at, each.id)):
        people.setdefault(session.user_id, []).append(session)
    names = _names(people, are_names_kept=are_names_kept)
    parts = [_of_person(names[user_id], theirs, start, zone) for user_id, theirs in people.items()]
    return Demand(
        sessions=tuple(sorted((session for part in parts for session in part.sessions), key=lambda each: (each.user, each.sequence))),
        users=len(people),
        overlapping=sum(part.overlapping for part in parts),
    )


def _names(people: Mapping[int, Sequence[PastSession]], *, are_names_kept: bool) -> dict[int, str]:
    """Return what each person is called: their newest name, which two accounts may share, or a number."""
    if not are_names_kept:
        width = max(2, len(str(len(people) - 1)))
        return {user_id: f"user{number:0{width}}" for number, user_id in enumerate(people)}
    newest = {user_id: theirs[-1].user_name for user_id, theirs in people.items()}
    taken = list(newest.values())
    return {user_id: name if taken.count(name) == 1 else f"{name}-{user_id}" for user_id, name in newest.items()}


def _of_person(name: str, theirs: Sequence[PastSession], start: datetime, zone: tzinfo) -> Demand:
    is_light = is_in_office([session.requested_at for session in theirs], zone)
    free_at, found, overlapping = start, [], 0
    for sequence, session in enumerate(theirs):
        overlapping += session.requested_at < free_at
        found.append(
            TraceSession(
                user=name,
                project=session.project,
                sequence=sequence,
                think_seconds=max(0.0, (session.requested_at - free_at).total_seconds()),
                gpus=session.gpus,
                work_seconds=max(0.0, (session.ended_at - session.started_at).total_seconds() - session.idle_seconds),
                idle_tail_seconds=session.idle_seconds,
                is_office_hours=is_light,
            )
        )
        free_at = max(free_at, session.ended_at)
    return Demand(tuple(found), 1, overlapping)


def is_in_office(requests: Sequence[datetime], zone: tzinfo) -> bool:
    """Whether somebody who asked at these instants asks in office hours only."""
    seconds = [timedelta(hours=local.hour, minutes=local.minute, seconds=local.second).total_seconds() for local in (at.astimezone(zone) for at in requests)]
    inside = sum(OFFICE_OPENS_SECONDS <= of_day < OFFICE_CLOSES_SECONDS for of_day in seconds)
    return inside >= OFFICE_FRACTION * len(requests)


def days_between(start: datetime, end: datetime) -> int:
    """Return how many days a span touches that begins at a midnight, at least 1."""
    return max(1, -int(-(end - start).total_seconds() // DAY_SECONDS))
