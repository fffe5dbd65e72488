"""Sees from the rows what people have to be told. A key for each makes that once, whoever was killed in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, EndCause
from aiplatform_hub.domain.grace import is_watched, turn_key
from aiplatform_hub.domain.notices import TOLD_CAUSES, NoticeKind, kind_of, warned_from
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.operations.requeueing import is_due_again
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.notifications import NotificationStore

AT_ONCE = 50
"""Notices of one transaction: others wait for it."""
OLDEST = timedelta(days=1)
"""Age from which an end is not told any more: the keeper was away for too long."""
FIRST_LOOK = timedelta(hours=1)
"""How far back ends are told where nothing was ever told: the platform had no notices before."""
_ENDS = (NoticeKind.EXPIRED, NoticeKind.NOT_OPENED, NoticeKind.START_FAILED, NoticeKind.RELEASED, NoticeKind.STOPPED, NoticeKind.WITHDRAWN)
_EVENT = "event"
"""Key of a notice's detail: the transition that it tells of, so that the next keeper goes on from there."""


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to tell."""

    key: str
    kind: NoticeKind
    allocation: Allocation
    detail: dict[str, Any] = field(default_factory=dict)


Warned = Callable[[Connection, datetime], Iterator[tuple[Allocation, datetime, str]]]
"""Returns the sessions about to be released: each with when that may happen, and why."""


class NoticeWatch:
    """Looks, and tells what is new. One keeper does it."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        events: EventStore,
        notifications: NotificationStore,
        notices: Notices,
        interest: timedelta,
        grace: timedelta,
        warned: Warned,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._events = events
        self._notifications = notifications
        self._notices = notices
        self._interest = interest
        self._grace = grace
        self._clock = clock
        self._warned = warned
        self._seen_event: int | None = None
        self._told: set[str] = set()

    def look(self) -> int:
        """Tell what is new; return how much that was."""
        with self._database.read() as connection:
            now = self._clock()
            seen = self._first_event(connection, now) if self._seen_event is None else self._seen_event
            events = self._events.of_causes(connection, seen, TOLD_CAUSES)
            latest = events[-1].id if events else seen
            due = [*self._standing(connection, now), *self._ends(connection, events, now)]
        known = {each.key for each in due}
        new = [each for each in due if each.key not in self._told]
        told = sum(self._tell(new[start : start + AT_ONCE], now) for start in range(0, len(new), AT_ONCE))
        self._told, self._seen_event = known, latest  # not before: what failed is looked at again
        return told

    def _first_event(self, connection: Connection, now: datetime) -> int:
        """Return the last transition that an earlier keeper told of."""
        last = self._notifications.latest_of(connection, _ENDS)
        if last is not None:
            return int(last.detail[_EVENT])
        return self._events.last_before(connection, now - FIRST_LOOK)

    def _tell(self, due: list[Due], now: datetime) -> int:
        with self._database.write() as connection:
            return sum(
                self._notices.tell(
                    connection,
                    key=each.key,
                    user_name=each.allocation.user_name,
                    allocation_id=each.allocation.id,
                    kind=each.kind,
                    detail=each.detail,
                    at=now,
                )
                for each in due
            )

    def _standing(self, connection: Connection, now: datetime) -> Iterator[Due]:
        """Yield what is to be told as long as it is so."""
        live = self._allocations.live(connection)
        for allocation in live.open:
            if is_watched(allocation) and allocation.ready_at is not None and now - allocation.ready_at < FIRST_LOOK:
                until = now + self._grace if self._grace else None
                yield Due(turn_key(allocation.id), NoticeKind.TURN_CAME, allocation, self._notices.about(allocation, until=until))
        for allocation in live.queued:
            since = allocation.confirmed_at or allocation.requested_at
            if now >= warned_from(since, self._interest):
                detail = self._notices.about(allocation, until=since + self._interest)
                yield Due(f"interest_expires:{allocation.id}:{since.timestamp():.0f}", NoticeKind.INTEREST_EXPIRES, allocation, detail)
        for allocation, until, cause in self._warned(connection, now):
            key = f"release_warning:{allocation.id}:{cause}:{until.timestamp():.0f}"
            yield Due(key, NoticeKind.RELEASE_WARNING, allocation, self._notices.about(allocation, until=until, cause=cause))

    def _ends(self, connection: Connection, events: tuple[AllocationEvent, ...], now: datetime) -> Iterator[Due]:
        for event in events:
            allocation = self._allocations.find(connection, event.allocation_id)
            if allocation is None or now - event.at > OLDEST:
                continue
            cause = EndCause(event.cause)
            is_back = is_due_again(allocation, cause)
            kind = kind_of(allocation, cause, is_due_again=is_back)
            if kind is not None:
                detail = {**self._notices.about(allocation, cause=cause.value, is_back=is_back), _EVENT: event.id}
                yield Due(f"{kind.value}:{allocation.id}", kind, allocation, detail)
