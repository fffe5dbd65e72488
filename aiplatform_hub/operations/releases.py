"""What becomes of running sessions: facts of each, and what its owner is told. Nothing is changed here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queueing import Outlook
from aiplatform_hub.domain.release import Action, ReleaseView, Surroundings, is_of_use, view_of
from aiplatform_hub.operations.queue_json import outlook_from_json
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.events import EventStore
from aiplatform_hub.storage.notifications import NotificationStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

WARNED = "release_warned"
"""Cause of the event with which a session's warning begins."""
CALLED_OFF = "release_called_off"
"""Cause of the event with which it ends, because the session is used again, was extended, or the policy is another."""


class Releases:
    """Reads what the verdict on a session depends on, in the transaction of whoever asks."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        allocations: AllocationStore,
        activity: ActivityStore,
        events: EventStore,
        notifications: NotificationStore,
        outlooks: QueueOutlookStore,
        policy: Callable[[], Policy],
    ) -> None:
        self._allocations = allocations
        self._activity = activity
        self._events = events
        self._notifications = notifications
        self._outlooks = outlooks
        self._policy = policy

    def around(self, connection: Connection, sessions: Iterable[Allocation], now: datetime) -> dict[UUID, Surroundings]:
        """Return what is known beside the rows of sessions, but for who waits for them."""
        idle = self._activity.idle_since(connection, now)
        marks = self._events.latest_of_active(connection, frozenset({WARNED, CALLED_OFF}))
        warned = {id_: event.at for id_, event in marks.items() if event.cause == WARNED and event.at <= now}
        unused = self._unused_until(connection, [session.id for session in sessions if session.id in warned and not session.devices])
        return {session.id: Surroundings(now, idle.get(session.id), warned.get(session.id), unused.get(session.id)) for session in sessions}

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
        queued = self._allocations.queued(connection)
        if not queued:
            return dict(around)
        stored = self._outlooks.outlook(connection)
        outlook = Outlook() if stored is None else outlook_from_json(stored)
        wanted = {s.id for s in active if s.id in outlook.wanted and any(is_of_use(s, request, outlook.blocked) for request in queued)}
        return {id_: replace(each, is_wanted=id_ in wanted, is_claimed=id_ in wanted & outlook.claims) for id_, each in around.items()}
