"""What becomes of running sessions: facts of each, and what its owner is told. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.release import Action, ReleaseView, Surroundings, is_of_use, view_of
from aiplatform_hub.operations.queue_json import OutlookMemory
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

WARNED = "release_warned"
"""Cause of the event with which a session's warning begins."""
CALLED_OFF = "release_called_off"
"""Cause of the event with which it ends, because the session is used again, was extended, or the policy is another."""
RECLAIMED = "reclaimed"
"""Cause of the event with which Kueue begins to want a session's quota back."""
RECLAIM_OVER = "reclaim_over"
"""Cause of the event with which it leaves it after all."""


class Releases:
    """Reads what the verdict on a session depends on, in the transaction of whoever asks.

    Parameters
    ----------
    is_kueue
        Whether Kueue gives out the GPUs; what it wanted before another queue was chosen does not count.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        allocations: AllocationStore,
        activity: ActivityStore,
        events: EventStore,
        notifications: NotificationStore,
        outlooks: QueueOutlookStore,
        budgets: BudgetStore,
        policy: Callable[[], Policy],
        is_kueue: bool = False,
    ) -> None:
        self._allocations = allocations
        self._activity = activity
        self._events = events
        self._notifications = notifications
        self._outlooks = outlooks
        self._budgets = budgets
        self._policy = policy
        self._is_kueue = is_kueue
        self._outlook = OutlookMemory()

    def around(self, connection: Connection, sessions: Iterable[Allocation], now: datetime) -> dict[UUID, Surroundings]:
        """Return what is known beside the rows of sessions, but for who waits for them."""
        idle = self._activity.idle_since(connection, now)
        marks = self._events.latest_of_active(connection, frozenset({WARNED, CALLED_OFF, RECLAIMED, RECLAIM_OVER}))
        warned = {id_: at for id_, found in marks.items() if (at := _since(found, WARNED, CALLED_OFF)) is not None and at <= now}
        reclaimed = {id_: _since(found, RECLAIMED, RECLAIM_OVER) for id_, found in marks.items() if self._is_kueue}
        unused = self._unused_until(connection, [session.id for session in sessions if session.id in warned and not session.devices])
        stops = self._budgets.stops(connection, now)
        return {
            s.id: Surroundings(
                now=now,
                idle_since=idle.get(s.id),
                warned_at=warned.get(s.id),
                reclaimed_at=reclaimed.get(s.id),
                budget_ends_at=stops.get(s.id),
                unused_until=unused.get(s.id),
            )
            for s in sessions
        }

    def _unused_until(self, connection: Connection, warned: Collection[UUID]) -> dict[UUID, datetime]:
        """Return what the owners of servers without GPUs were told of their end."""
        return self._notifications.told_untils(connection, warned, NoticeKind.RELEASE_WARNING) if warned else {}

    def of(self, connection: Connection, allocations: Iterable[Allocation], now: datetime) -> dict[UUID, ReleaseView]:
        """Return what the owners of the active ones among these are told.

        Parameters
        ----------
        now
            Aware UTC.
        """
        active = [allocation for allocation in allocations if allocation.state is AllocationState.ACTIVE]
        if not active:
            return {}
        around = self._with_waiting(connection, active, self.around(connection, active, now))
        views = {session.id: view_of(session, around[session.id], self._policy()) for session in active}
        return {id_: view for id_, view in views.items() if view is not None}

    def warned(self, connection: Connection, now: datetime) -> Iterator[tuple[Allocation, datetime, str]]:
        """Yield the sessions whose owners are warned of losing GPUs now, each with the first instant at which that may happen, and why."""
        sessions = {allocation.id: allocation for allocation in self._allocations.open(connection)}
        for id_, view in self.of(connection, sessions.values(), now).items():
            if sessions[id_].devices and view.action is Action.WARN and view.deadline is not None and view.why is not None:
                yield sessions[id_], view.deadline, view.why.value

    def _with_waiting(self, connection: Connection, active: Iterable[Allocation], around: Mapping[UUID, Surroundings]) -> dict[UUID, Surroundings]:
        queued = self._allocations.live(connection).queued
        if not queued:
            return dict(around)
        outlook = self._outlook.of(self._outlooks.outlook(connection))
        wanted = {s.id for s in active if s.id in outlook.wanted and any(is_of_use(s, request, outlook.blocked) for request in queued)}
        return {id_: replace(each, is_wanted=id_ in wanted, is_claimed=id_ in wanted & outlook.claims) for id_, each in around.items()}


def _since(marks: Mapping[str, AllocationEvent], begin: str, over: str) -> datetime | None:
    """Return since when something is so; None if it never was, or is over."""
    began, ended = marks.get(begin), marks.get(over)
    return None if began is None or (ended is not None and ended.id > began.id) else began.at
