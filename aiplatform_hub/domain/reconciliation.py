"""What to do so that the ledger equals what runs: a pure plan.

The runtime's records are the truth; missing or unreadable data ends nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.usage import SessionRecord

HOLD_LIFETIME = timedelta(seconds=60)
"""How long a hold waits for a start that takes it up."""
START_LIFETIME = timedelta(seconds=120)
"""How long a start may take until its process has begun."""
HANDOVER = timedelta(seconds=5)
"""After this time an unfinished start is worth asking the hub whether it still goes on."""

CLOSED_STATES = frozenset({AllocationState.ENDED, AllocationState.DENIED, AllocationState.WITHDRAWN, AllocationState.EXPIRED})
"""States of an allocation that holds nothing and never will again."""


class ActionKind(StrEnum):
    """What to do with one allocation."""

    START = "start"
    """Its process runs, the meter does not know: open the interval."""
    PROVE = "prove"
    """Its process runs: record the proof of life."""
    END = "end"
    """Its process has ended: close the interval."""
    RELEASE = "release"
    """It never began: give back what it holds."""
    ASK_HUB = "ask_hub"
    """Its start is not finished: unless the hub says that it goes on, a crash cut it off."""
    STOP = "stop"
    """Its process runs though it was released or ended: stop it."""


@dataclass(frozen=True, slots=True)
class Action:
    """One step. Steps of one allocation are in order."""

    kind: ActionKind
    allocation_id: UUID
    at: datetime | None = None
    """When it began, was seen or ended, by the runtime's record; aware UTC."""
    cause: EndCause | None = None
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a plan needs besides allocations and records."""

    now: datetime
    hub_instance: str | None = None
    """The present life of the hub; None when it is not known."""
    last_seen: Mapping[UUID, datetime] = field(default_factory=dict)
    """Last proofs of life that the meter holds."""
    unreadable: frozenset[UUID] = frozenset()
    """Allocations whose record exists but cannot be read."""


def plan(allocations: Sequence[Allocation], records: Mapping[UUID, SessionRecord], around: Surroundings) -> tuple[Action, ...]:
    """Return what to do for the open allocations, given the runtime's records."""
    actions: list[Action] = []
    for allocation in allocations:
        if allocation.is_open and allocation.id not in around.unreadable:
            actions += _of_one(allocation, records.get(allocation.id), around)
    return tuple(actions)


def orphans(records: Mapping[UUID, SessionRecord], states: Mapping[UUID, AllocationState]) -> tuple[Action, ...]:
    """Return a stop for each process that runs although its allocation is closed.

    A process whose allocation is in no row at all is left alone: then the database is not
    the one that promised it, and missing data ends nothing.
    """
    return tuple(Action(ActionKind.STOP, id_) for id_, record in records.items() if record.is_alive and states.get(id_) in CLOSED_STATES)


def is_lost(record: SessionRecord) -> bool:
    """Whether it has ended, and nobody saw when or will tell."""
    return record.is_gone or (record.started_at is not None and record.ended_at is None and not record.is_alive and not record.is_runner_alive)


def cause_of(record: SessionRecord, *, was_ready: bool) -> EndCause:
    """Return why a session has ended, as far as its record tells."""
    if not was_ready:
        return EndCause.START_FAILED
    if record.is_stopped:
        return EndCause.STOPPED
    return EndCause.OUT_OF_MEMORY if record.is_out_of_memory else record.cause or _own_end(record)


def _own_end(record: SessionRecord) -> EndCause:
    if record.signal is not None:
        return EndCause.KILLED
    if record.exit_code is None:
        return EndCause.LOST
    return EndCause.EXITED if record.exit_code == 0 else EndCause.CRASHED


def _of_one(allocation: Allocation, record: SessionRecord | None, around: Surroundings) -> list[Action]:
    if record is not None and record.is_gone and allocation.state is AllocationState.ACTIVE:
        return [_lost(allocation, record, around)]
    if record is None or (record.started_at is None and not record.is_alive):
        return _without_process(allocation, record, around)
    start = [Action(ActionKind.START, allocation.id, record.started_at)] if allocation.state is AllocationState.HELD else []
    if record.ended_at is not None:
        cause = _asked(allocation) or cause_of(record, was_ready=allocation.ready_at is not None)
        return [*start, Action(ActionKind.END, allocation.id, record.ended_at, cause)]
    if record.is_alive:
        return [*start, *_alive(allocation, record, around)]
    if record.is_runner_alive:
        return start  # it is about to write the end
    return [*start, _lost(allocation, record, around)]


def _alive(allocation: Allocation, record: SessionRecord, around: Surroundings) -> list[Action]:
    actions = [Action(ActionKind.PROVE, allocation.id, record.last_seen_at or record.started_at)]
    if allocation.ready_at is None and _waited(allocation, around) > HANDOVER:
        actions.append(Action(ActionKind.ASK_HUB, allocation.id))
    return actions


def _lost(allocation: Allocation, record: SessionRecord, around: Surroundings) -> Action:
    """Plan the end that nobody saw: when the runtime last knew it alive, or else the last proof of life."""
    proofs = (record.started_at, record.last_seen_at, around.last_seen.get(allocation.id), allocation.started_at)
    latest = max(at for at in proofs if at is not None)
    at = record.last_seen_at if record.cause is not None and record.last_seen_at is not None else latest
    if record.is_gone:
        at = min(at, around.now)  # a clock that was ahead may have proved too much
    cause = (record.cause or EndCause.LOST) if allocation.ready_at is not None else EndCause.START_FAILED
    return Action(ActionKind.END, allocation.id, at, _asked(allocation) or cause, is_estimated=True)


def _asked(allocation: Allocation) -> EndCause | None:
    """Return the cause of a stop that was asked for; a start that never answered has failed all the same."""
    return allocation.stop_cause if allocation.ready_at is not None else None


def _without_process(allocation: Allocation, record: SessionRecord | None, around: Surroundings) -> list[Action]:
    """Plan for an allocation of which no process has begun.

    That a cluster has no pod of it tells nothing yet: the hub may be about to create it.
    """
    if allocation.state is AllocationState.ACTIVE or allocation.held_at is None:
        return []  # its record is missing: unknown is not dead
    if allocation.starting_at is None:
        expired = around.now - allocation.held_at > HOLD_LIFETIME
        return [Action(ActionKind.RELEASE, allocation.id, cause=EndCause.HOLD_EXPIRED)] if expired else []
    waited = _waited(allocation, around)
    has_failed = record is not None and record.failure is not None
    is_abandoned = (_has_lost_hub(allocation, around) and waited > HANDOVER) or waited > START_LIFETIME
    if has_failed or (is_abandoned and not (record and record.is_runner_alive)):
        return [Action(ActionKind.RELEASE, allocation.id, cause=EndCause.START_FAILED)]
    return [Action(ActionKind.ASK_HUB, allocation.id)] if waited > HANDOVER else []


def _waited(allocation: Allocation, around: Surroundings) -> timedelta:
    return around.now - (allocation.starting_at or allocation.started_at or around.now)


def _has_lost_hub(allocation: Allocation, around: Surroundings) -> bool:
    return allocation.hub_instance is not None and around.hub_instance is not None and allocation.hub_instance != around.hub_instance
