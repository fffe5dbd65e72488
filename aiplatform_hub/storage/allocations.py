"""Allocations: one row each, their current state, and every transition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, bindparam, func, insert, literal_column, or_, select, text, tuple_, update

from aiplatform_hub.domain.allocations import OPEN_STATES, TRANSITIONS, Allocation, AllocationEvent, AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.storage.decisions import FIND_DECISION
from aiplatform_hub.storage.events import event_of
from aiplatform_hub.storage.hidden import IS_LISTED
from aiplatform_hub.storage.live_allocations import IS_LIVE, IS_QUEUED, Live, LiveAllocations
from aiplatform_hub.storage.schema import allocation_events, allocations, gpu_leases

IS_OPEN: ColumnElement[bool] = literal_column("allocations.state IN ('held', 'active')")
"""Written out, not bound: both databases use a partial index only where the query states its condition word for word."""


_OPEN = select(allocations).where(IS_OPEN).order_by(allocations.c.held_at, allocations.c.id)
_QUEUED = select(allocations).where(IS_QUEUED).order_by(allocations.c.queued_at, allocations.c.id)
_FIND = select(allocations).where(allocations.c.id == bindparam("id"))
_NOT_READY = select(allocations.c.id).where(IS_OPEN, allocations.c.state == "active", allocations.c.ready_at.is_(None))
_INSERT = insert(allocations)
_EVENT = insert(allocation_events)
_LEASE = insert(gpu_leases)
# Built once: SQLAlchemy spends more on making a statement than on sending it.
_MOVE = update(allocations).where(allocations.c.id == bindparam("of"), allocations.c.state == bindparam("was"))
_MOVE_UNTAKEN = _MOVE.where(allocations.c.starting_at.is_(None))
_GIVE_BACK = update(gpu_leases).where(gpu_leases.c.allocation_id == bindparam("of"), gpu_leases.c.released_at.is_(None))
_REQUEST_STOP = update(allocations).where(allocations.c.id == bindparam("of"), IS_OPEN)
_REQUEST_STOP_ONCE = _REQUEST_STOP.where(allocations.c.stop_cause.is_(None))
_LIVE_STATES = OPEN_STATES | {AllocationState.QUEUED}
_ENUMS = frozenset({"state", "end_cause", "stop_cause"})


@dataclass(frozen=True, slots=True)
class AllocationFilter:
    """What a list of allocations is narrowed to; None and empty mean everything."""

    user_id: int | None = None
    user_name: str | None = None
    states: frozenset[AllocationState] = frozenset()
    project: str | None = None
    since: datetime | None = None
    """Requested at or after this instant."""
    is_listed: bool = False
    """True leaves out what its owner has hidden."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page of a list goes on: after this allocation, towards older ones."""

    requested_at: datetime
    id: UUID


@lru_cache(maxsize=2048)
def _request(*values: Any) -> LaunchRequest:
    """Return the same object for the same request: of a thousand that wait most ask for the same few things."""
    return LaunchRequest(*values)


def allocation_of(row: Mapping[str, Any] | RowMapping) -> Allocation:
    """Return the allocation of a row."""
    request = _request(
        row["environment_template"],
        row["gpus"],
        row["gpu_type"],
        row["memory_bytes"],
        row["cpu_cores"],
        row["project"],
        row["cost_centre"],
        row["max_hours"],
    )
    return Allocation(
        id=row["id"],
        user_id=row["user_id"],
        user_name=row["user_name"],
        server_name=row["server_name"],
        spawner_id=row["spawner_id"],
        request=request,
        state=AllocationState(row["state"]),
        devices=tuple(row["devices"]),
        door=row["door"],
        actor=row["actor"],
        requested_at=row["requested_at"],
        held_at=row["held_at"],
        starting_at=row["starting_at"],
        started_at=row["started_at"],
        ready_at=row["ready_at"],
        ended_at=row["ended_at"],
        end_cause=_cause(row["end_cause"]),
        estimated=bool(row["estimated"]),
        stop_requested_by=row["stop_requested_by"],
        stop_cause=_cause(row["stop_cause"]),
        hub_instance=row["hub_instance"],
        queued_at=row["queued_at"],
        confirmed_at=row["confirmed_at"],
        requeued=row["requeued"],
        succeeds=row["succeeds"],
        must_end_at=row["must_end_at"],
        extended_until=row["extended_until"],
        opened_at=row["opened_at"],
        moved_up_at=row["moved_up_at"],
        stop_message=row["stop_message"],
        tier=row["tier"],
    )


def _plain(name: str, value: Any) -> Any:
    if name in _ENUMS and value is not None:
        return value.value
    return list(value) if name == "devices" else value


def _request_values(request: LaunchRequest) -> dict[str, Any]:
    return {
        "environment_template": request.environment_template,
        "gpus": request.gpus,
        "gpu_type": request.gpu_type,
        "memory_bytes": request.memory_bytes,
        "cpu_cores": request.cpu_cores,
        "project": request.project,
        "cost_centre": request.cost_centre,
        "max_hours": request.max_hours,
    }


def _cause(value: str | None) -> EndCause | None:
    return None if value is None else EndCause(value)


def _values(allocation: Allocation) -> dict[str, Any]:
    return {
        "id": allocation.id,
        "user_id": allocation.user_id,
        "user_name": allocation.user_name,
        "server_name": allocation.server_name,
        "spawner_id": allocation.spawner_id,
        **_request_values(allocation.request),
        "state": allocation.state.value,
        "devices": list(allocation.devices),
        "door": allocation.door,
        "actor": allocation.actor,
        "requested_at": allocation.requested_at,
        "held_at": allocation.held_at,
        "starting_at": allocation.starting_at,
        "ended_at": allocation.ended_at,
        "hub_instance": allocation.hub_instance,
        "queued_at": allocation.queued_at,
        "confirmed_at": allocation.confirmed_at,
        "requeued": allocation.requeued,
        "succeeds": allocation.succeeds,
        "must_end_at": allocation.must_end_at,
        "tier": allocation.tier,
    }


class AllocationStore:
    """Reads and writes allocations, their leases and their history."""

    def __init__(self) -> None:
        self._live = LiveAllocations(allocation_of)

    def find(self, connection: Connection, allocation_id: UUID) -> Allocation | None:
        """Return the allocation with this id, or None."""
        row = connection.execute(_FIND, {"id": allocation_id}).mappings().one_or_none()
        return None if row is None else allocation_of(row)

    def insert(self, connection: Connection, allocation: Allocation, *, idempotency_key: str | None = None) -> None:
        """Add an allocation; if it is open, lease its devices, and if it waits, tell those who watch.

        Raises
        ------
        TakenError
            If its server or one of its devices is already taken.
        """
        connection.execute(_INSERT, {**_values(allocation), "idempotency_key": idempotency_key})
        if allocation.is_open and allocation.devices:
            connection.execute(_LEASE, [{"device_uuid": uuid, "allocation_id": allocation.id} for uuid in allocation.devices])
        if allocation.is_queued:
            at, again = allocation.confirmed_at or allocation.requested_at, "requeued" if allocation.requeued else "queued_again"
            cause = "queued" if allocation.succeeds is None else again
            connection.execute(
                _EVENT,
                {"allocation_id": allocation.id, "at": at, "from_state": None, "to_state": allocation.state.value, "cause": cause, "actor": allocation.actor},
            )

    def live(self, connection: Connection) -> Live:
        """Return open and queued allocations in one statement."""
        return self._live.read(connection)

    def queued(self, connection: Connection) -> tuple[Allocation, ...]:
        """Return every queued allocation, the longest waiting first."""
        return self._all(connection, _QUEUED)

    def queued_owners(self, connection: Connection) -> frozenset[tuple[int, str]]:
        """Return the hub's ids of those who have something queued, with their names of then."""
        statement = select(allocations.c.user_id, allocations.c.user_name).where(IS_QUEUED).distinct()
        return frozenset((row.user_id, row.user_name) for row in connection.execute(statement))

    def set_confirmed(self, connection: Connection, words: Mapping[UUID, datetime]) -> None:
        """Let owners' words about queued requests count from other instants. No transition: nobody said anything."""
        if words:
            statement = update(allocations).where(allocations.c.id == bindparam("of"), IS_QUEUED).values(confirmed_at=bindparam("at"))
            connection.execute(statement, [{"of": id_, "at": at} for id_, at in words.items()])

    def unstarted(self, connection: Connection) -> tuple[Allocation, ...]:
        """Return holds out of the queue that no start has taken up, the longest held first."""
        columns = allocations.c
        return self._all(connection, _OPEN.where(columns.state == "held", columns.starting_at.is_(None), columns.queued_at.is_not(None)))

    def open(self, connection: Connection) -> tuple[Allocation, ...]:
        """Return every open allocation, the longest held first."""
        return self._all(connection, _OPEN)

    def not_ready(self, connection: Connection) -> frozenset[UUID]:
        """Return the active allocations whose server is not known to have answered."""
        return frozenset(connection.execute(_NOT_READY).scalars())

    def open_of(self, connection: Connection, user_id: int) -> tuple[Allocation, ...]:
        """Return a person's open allocations, the longest held first."""
        return self._all(connection, _OPEN.where(allocations.c.user_id == user_id))

    def open_of_server(self, connection: Connection, server: ServerKey) -> Allocation | None:
        """Return the open allocation of a server, by its spawner's id or else by its name."""
        mine = self.open_of(connection, server.user_id)
        by_id = [a for a in mine if server.spawner_id is not None and a.spawner_id == server.spawner_id]
        by_name = [a for a in mine if a.server_name == server.server_name]
        return next(iter(by_id + by_name), None)

    def latest_of_server(self, connection: Connection, server: ServerKey) -> Allocation | None:
        """Return the newest allocation of a server that was once held, open or not."""
        name = allocations.c.server_name == server.server_name
        same = name if server.spawner_id is None else or_(allocations.c.spawner_id == server.spawner_id, and_(allocations.c.spawner_id.is_(None), name))
        statement = (
            select(allocations)
            .where(allocations.c.user_id == server.user_id, allocations.c.held_at.is_not(None), same)
            .order_by(allocations.c.requested_at.desc(), allocations.c.id.desc())
            .limit(1)
        )
        return next(iter(self._all(connection, statement)), None)

    def page(self, connection: Connection, narrow: AllocationFilter, *, limit: int, after: Cursor | None = None) -> tuple[Allocation, ...]:
        """Return a page of allocations, the newest first."""
        columns = allocations.c
        conditions = _conditions(narrow)
        if after is not None:
            position = tuple_(after.requested_at, after.id, types=[columns.requested_at.type, columns.id.type])
            conditions.append(tuple_(columns.requested_at, columns.id) < position)
        statement = select(allocations).where(*conditions).order_by(columns.requested_at.desc(), columns.id.desc()).limit(limit)
        return self._all(connection, statement)

    def waiting_by_gpu_type(self, connection: Connection) -> dict[str, int]:
        """Return how many requests wait for GPUs of each type."""
        columns = allocations.c
        statement = select(columns.gpu_type, func.count()).where(IS_QUEUED, columns.gpu_type.is_not(None)).group_by(columns.gpu_type)
        return {str(gpu_type): int(number) for gpu_type, number in connection.execute(statement)}

    def expired_holds(self, connection: Connection, before: datetime) -> tuple[Allocation, ...]:
        """Return holds that no start has taken up and that began before an instant."""
        columns = allocations.c
        return self._all(connection, _OPEN.where(columns.state == "held", columns.starting_at.is_(None), columns.held_at < before))

    def stale_starts(self, connection: Connection, before: datetime) -> tuple[Allocation, ...]:
        """Return holds that a start took up before an instant and that are not running yet."""
        columns = allocations.c
        return self._all(connection, _OPEN.where(columns.state == "held", columns.starting_at < before))

    def change(  # noqa: PLR0913  keyword-only
        self,
        connection: Connection,
        allocation: Allocation,
        *,
        to: AllocationState,
        at: datetime,
        cause: str,
        actor: str,
        is_untaken: bool = False,
        **values: Any,
    ) -> Allocation | None:
        """Move an allocation from the state it was read in, and record the transition.

        Parameters
        ----------
        is_untaken
            Only while no start has taken it up.
        values
            Other columns with their new values.

        Returns
        -------
        Allocation or None
            The allocation as it is now; None when it is no longer as it was read, and then nothing was changed.

        Raises
        ------
        ValueError
            If no such transition exists.
        """
        if to is not allocation.state and to not in TRANSITIONS[allocation.state]:
            raise ValueError(f"an allocation cannot go from {allocation.state} to {to}")
        if not self._moved(connection, allocation, to, values, is_untaken=is_untaken):
            return None
        if to not in OPEN_STATES:
            connection.execute(_GIVE_BACK, {"of": allocation.id, "released_at": at})
        event = {"allocation_id": allocation.id, "at": at, "from_state": allocation.state.value, "to_state": to.value, "cause": cause, "actor": actor}
        connection.execute(_EVENT, event)
        changed = replace(allocation, state=to, **values)
        if changed.is_open and not allocation.is_open and changed.devices:
            connection.execute(_LEASE, [{"device_uuid": uuid, "allocation_id": allocation.id} for uuid in changed.devices])
        return changed

    @staticmethod
    def _moved(connection: Connection, allocation: Allocation, to: AllocationState, values: Mapping[str, Any], *, is_untaken: bool) -> bool:
        """Write the new state and columns if the row is still as it was read; return whether it was."""
        plain = {name: _plain(name, value) for name, value in values.items() if name != "request"}
        if "request" in values:
            plain |= _request_values(values["request"])
        moved = {"of": allocation.id, "was": allocation.state.value, "state": to.value, **plain}
        return bool(connection.execute(_MOVE_UNTAKEN if is_untaken else _MOVE, moved).rowcount)

    def history(self, connection: Connection, allocation_id: UUID) -> tuple[AllocationEvent, ...]:
        """Return the transitions of an allocation, the decision first."""
        decision = connection.execute(FIND_DECISION, {"allocation_id": allocation_id}).mappings().first()
        state = AllocationState.HELD if decision and decision["outcome"] == "admit" else AllocationState.DENIED
        first = (
            ()
            if decision is None or decision["outcome"] == "queue"  # the queued have an event of their own
            else (
                AllocationEvent(
                    id=0,
                    allocation_id=allocation_id,
                    at=decision["at"],
                    from_state=None,
                    to_state=state,
                    cause=decision["error_code"] or "admitted",
                    actor=decision["actor"],
                ),
            )
        )
        statement = select(allocation_events).where(allocation_events.c.allocation_id == allocation_id).order_by(allocation_events.c.id)
        return (*first, *(event_of(row) for row in connection.execute(statement).mappings()))

    def names_in_use(self, connection: Connection, user_id: int) -> frozenset[str]:
        """Return the names of a person's servers that hold quota or wait for it."""
        return frozenset(connection.execute(select(allocations.c.server_name).where(IS_LIVE, allocations.c.user_id == user_id)).scalars())

    def request_stop(self, connection: Connection, allocation_id: UUID, *, by: str, cause: EndCause, message: str | None = None) -> bool:
        """Note who wants an open allocation stopped, and what they tell its owner; the general ``stopped`` never replaces a more exact cause."""
        statement = _REQUEST_STOP_ONCE if cause is EndCause.STOPPED else _REQUEST_STOP
        values = {"of": allocation_id, "stop_requested_by": by, "stop_cause": cause.value}
        return bool(connection.execute(statement, values if message is None else {**values, "stop_message": message}).rowcount)

    def take_back_stop(self, connection: Connection, allocation_id: UUID) -> None:
        """Forget that anybody wanted an open allocation stopped."""
        connection.execute(
            update(allocations).where(allocations.c.id == allocation_id, IS_OPEN).values(stop_requested_by=None, stop_cause=None, stop_message=None)
        )

    def move(self, connection: Connection, allocation: Allocation, devices: Sequence[str], at: datetime) -> Allocation:
        """Give an open allocation other devices than those it has.

        Raises
        ------
        TakenError
            If one of them is already taken.
        """
        connection.execute(_GIVE_BACK, {"of": allocation.id, "released_at": at})
        connection.execute(_LEASE, [{"device_uuid": uuid, "allocation_id": allocation.id} for uuid in devices])
        connection.execute(update(allocations).where(allocations.c.id == allocation.id).values(devices=list(devices)))
        return replace(allocation, devices=tuple(devices))

    def leased(self, connection: Connection) -> dict[str, UUID]:
        """Return which allocation holds each leased device."""
        statement = select(gpu_leases.c.device_uuid, gpu_leases.c.allocation_id).where(text("gpu_leases.released_at IS NULL"))
        return {row.device_uuid: row.allocation_id for row in connection.execute(statement)}

    def _all(self, connection: Connection, statement: Any) -> tuple[Allocation, ...]:
        rows: Iterable[RowMapping] = connection.execute(statement).mappings()
        return tuple(allocation_of(row) for row in rows)


def _conditions(narrow: AllocationFilter) -> list[ColumnElement[bool]]:
    """Return what a filter demands; states come with the words of a partial index where one holds them."""
    columns = allocations.c
    wanted = ((columns.user_id, narrow.user_id), (columns.user_name, narrow.user_name), (columns.project, narrow.project))
    conditions: list[ColumnElement[bool]] = [column == value for column, value in wanted if value is not None]
    if narrow.states and narrow.states <= OPEN_STATES:
        conditions.append(IS_OPEN)
    elif narrow.states == {AllocationState.QUEUED}:
        conditions.append(IS_QUEUED)
    elif narrow.states and narrow.states <= _LIVE_STATES:
        conditions.append(IS_LIVE)
    if narrow.states:
        conditions.append(columns.state.in_(sorted(state.value for state in narrow.states)))
    if narrow.is_listed:
        conditions.append(IS_LISTED)
    if narrow.since is not None:
        conditions.append(columns.requested_at >= narrow.since)
    return conditions
