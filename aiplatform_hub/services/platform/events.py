"""Server-sent events: a few looks at the database per second serve every open stream."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.services.platform.auth import READ, Principal
from aiplatform_hub.services.platform.wire import dumps

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
COST_EVERY_SECONDS = 10.0
RELEASE_EVERY_SECONDS = 2.0
MAX_AGAIN = 300
"""So many transitions are sent again to a browser that comes back; after more it has to read the lists."""
MAX_WAITING = 500
"""A stream that falls further behind ends; the browser comes back with the last id it saw."""

STATE_LENGTH = 16
"""So many hexadecimal digits tell one state from another."""

_UNKNOWN = object()
"""A mark unlike any other: the queue has to be read."""
_UNTOLD = -1
"""An id that no notice has: the newest ones have to be read."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event of a stream."""

    kind: str
    """``allocation``, ``capacity``, ``quota``, ``queue``, ``release``, ``cost``, ``notification``, ``announcement`` or ``reset``."""
    data: Any
    id: int
    _texts: list[str] = field(default_factory=list, compare=False, repr=False)

    def text(self) -> str:
        """Return the event as it travels; it is written once for all streams that are told it."""
        if not self._texts:
            self._texts.append(f"id: {self.id}\nevent: {self.kind}\ndata: {dumps(self.data)}\n\n")
        return self._texts[0]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the database found."""

    latest_id: int
    events: tuple[AllocationEvent, ...]
    allocations: Mapping[UUID, Allocation]
    is_cut: bool = False
    """True when more happened than is sent again."""
    latest_notice: int = 0
    """Id of the newest notice to anybody."""
    queue_mark: Any = None
    """What changes whenever the dispatcher has found something new about those who wait."""


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """One queued request, or the release of one running session, as its owner is told of it."""

    server_name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class QueueNews:
    """The queue as some people's streams are told of it."""

    length: int
    by_owner: Mapping[str, tuple[OwnPlace, ...]]


@dataclass(frozen=True, slots=True)
class _Own:
    """What one caller is told beside transitions and places."""

    releases: Mapping[str, tuple[OwnPlace, ...]]
    notices: Mapping[str, int]
    announced: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Subscriber:
    """One open stream."""

    principal: Principal
    told_id: int
    """Every transition up to this one has been told: a stream that opens during a look may know more than the look."""
    queue: asyncio.Queue[Message | None] = field(default_factory=lambda: asyncio.Queue(MAX_WAITING))
    told_notice: int | None = None
    """Id of the newest notice that was told; None before the first word on it."""
    told_queue: Any = None
    """What was told last of the queue, without words that only time changes."""
    told_release: Any = None
    """What was told last of the release of its owner's sessions."""

    def put(self, message: Message | None) -> None:
        """Add a message; None ends the stream, as does a queue that is full."""
        if self.queue.full():
            self.forget()
            message = None
        self.queue.put_nowait(message)

    def forget(self) -> None:
        """Drop what waits to be sent."""
        while not self.queue.empty():
            self.queue.get_nowait()


def is_visible(principal: Principal, allocation: Allocation) -> bool:
    """Return whether a caller may know of an allocation."""
    return principal.may(READ, allocation.user_name, server_name=allocation.server_name)


async def no_notices(_people: frozenset[str]) -> Mapping[str, int]:
    """Return that nobody has been told anything."""
    return {}


async def no_announcements() -> tuple[int, ...]:
    """Return that nothing is announced."""
    return ()


@dataclass(kw_only=True)
class EventStream:
    """Looks for new transitions while somebody listens, and passes each on to those who may know.

    Parameters
    ----------
    look
        Reads the transitions after an id; None asks for the newest id only. Runs in a thread.
    capacity, quota, costs
        Return the data of the other kinds of event; ``costs`` as one entry per active allocation of a person.
    places
        Returns how many wait, and the places of these people's requests.
    releases
        Returns what is said of the release of these people's sessions.
    notices
        Returns the id of the newest notice of each of these people who has one.
    announcements
        Returns the ids of what everybody is told now.
    """

    look: Callable[[int | None], Awaitable[Look]]
    capacity: Callable[[], Awaitable[Any]]
    quota: Callable[[str], Awaitable[Any]]
    costs: Callable[[str], Awaitable[list[Any]]]
    places: Callable[[frozenset[str]], Awaitable[QueueNews]]
    releases: Callable[[frozenset[str]], Awaitable[Mapping[str, tuple[OwnPlace, ...]]]]
    notices: Callable[[frozenset[str]], Awaitable[Mapping[str, int]]] = no_notices
    announcements: Callable[[], Awaitable[tuple[int, ...]]] = no_announcements
    poll_seconds: float = POLL_SECONDS
    release_seconds: float = RELEASE_EVERY_SECONDS
    _subscribers: set[Subscriber] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _latest_id: int = 0
    _queue_mark: Any = _UNKNOWN
    _latest_notice: int = 0
    _announced: tuple[int, ...] = ()
    """What everybody was told last."""
    _made: tuple[Look | None, tuple[tuple[Message, Allocation], ...]] = (None, ())
    """The look whose events were passed on last, and those."""

    async def state_of(self, principal: Principal) -> str:
        """Return what is another whenever a stream would have told this caller something meanwhile.

        A page asks before it reads what it shows; its stream then begins with nothing where nothing has happened since.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        return self._state(principal, await self.look(None), await self._own_of(principal))

    async def _own_of(self, principal: Principal) -> _Own:
        people = _people((principal,))
        return _Own(await self.releases(people), await self.notices(people), await self.announcements())

    @staticmethod
    def _state(principal: Principal, look: Look, own: _Own) -> str:
        items = [session.data for session in own.releases.get(principal.name, ())]
        whole = look.latest_id, look.queue_mark, items, own.notices.get(principal.name, 0), own.announced
        return hashlib.sha256(repr(whole).encode()).hexdigest()[:STATE_LENGTH]

    async def subscribe(self, principal: Principal, *, after_id: int | None, state: str = "") -> Subscriber:
        """Open a stream: what happened since ``after_id`` first, then a snapshot of capacity, quota and queue.

        Parameters
        ----------
        state
            What :meth:`state_of` said when the caller read everything: while it is the same, there is no snapshot.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        before = self._queue_mark, self._latest_notice
        news, own = await self.places(_people((principal,))), await self._own_of(principal)
        look = await self.look(after_id)  # behind the others: in a state that is known they are as they were
        is_known = bool(state) and state == self._state(principal, look, own)
        messages = [] if is_known else await self._snapshot(principal, look, own, is_late=bool(state))
        while self._is_looking and look.latest_id < self._latest_id:
            look = await self.look(look.latest_id)
            messages.extend(self._messages(look, principal))
        # No await from here on: what the next look finds reaches this stream too.
        subscriber = Subscriber(principal, look.latest_id)
        if is_known:
            self._tell_standing(subscriber, news, own)
            subscriber.forget()
        for message in messages:
            subscriber.put(message)
        self._tell_standing(subscriber, news, own)
        if not self._is_looking:
            self._latest_id, self._announced, self._queue_mark = look.latest_id, own.announced, _UNKNOWN
            self._task = asyncio.create_task(self._run())
        elif before != (self._queue_mark, self._latest_notice):  # passed on while this stream was not among those who are told
            self._queue_mark, self._latest_notice = _UNKNOWN, _UNTOLD
        self._subscribers.add(subscriber)
        return subscriber

    async def _snapshot(self, principal: Principal, look: Look, own: _Own, *, is_late: bool) -> list[Message]:
        """Return what a look found, and how things stand; announcements too for a page whose own are older."""
        messages = [*self._messages(look, principal), Message("capacity", await self.capacity(), look.latest_id)]
        if look.is_cut:
            messages.insert(0, Message("reset", {"reason": "Too much happened since; read the lists again."}, look.latest_id))
        if principal.is_user:
            messages.append(Message("quota", await self.quota(principal.name), look.latest_id))
        if is_late:
            messages.append(Message("announcement", {"ids": list(own.announced)}, look.latest_id))
        return messages

    def _tell_standing(self, subscriber: Subscriber, news: QueueNews, own: _Own) -> None:
        self._tell_places(subscriber, news, subscriber.told_id)
        self._tell_releases(subscriber, own.releases, subscriber.told_id)
        self._tell_notice(subscriber, own.notices, subscriber.told_id)

    @property
    def _is_looking(self) -> bool:
        return self._task is not None and not self._task.done()

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Close a stream; the last one stops the looking."""
        self._subscribers.discard(subscriber)
        if not self._subscribers and self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        """End every stream."""
        for subscriber in tuple(self._subscribers):
            subscriber.put(None)

    async def _run(self) -> None:
        costs_at, releases_at = time.monotonic() + COST_EVERY_SECONDS, time.monotonic() + self.release_seconds
        while True:
            await asyncio.sleep(self.poll_seconds)
            try:
                await self._pass_on()
                if time.monotonic() >= releases_at:
                    releases_at = time.monotonic() + self.release_seconds
                    await self._pass_releases_on()
                    await self._pass_announcements_on()
                if time.monotonic() >= costs_at:
                    costs_at = time.monotonic() + COST_EVERY_SECONDS
                    await self._pass_costs_on()
            except ServiceUnavailableError:
                continue
            except Exception:
                log.exception("a look for events failed")

    async def _pass_on(self) -> None:
        look = await self.look(self._latest_id)
        if look.events:
            await self._pass_events_on(look)
        if look.queue_mark != self._queue_mark:
            await self._pass_places_on(look.queue_mark)
        if look.latest_notice != self._latest_notice:
            await self._pass_notices_on(look.latest_notice)
        owners = {look.allocations[event.allocation_id].user_name for event in look.events}
        for name in owners & {s.principal.name for s in self._subscribers if s.principal.is_user}:
            self._put_to(name, Message("quota", await self.quota(name), self._latest_id))

    async def _pass_events_on(self, look: Look) -> None:
        latest_id = look.events[-1].id
        capacity = Message("capacity", await self.capacity(), latest_id)
        self._latest_id = latest_id
        self._queue_mark = _UNKNOWN  # somebody may have come or gone
        for subscriber in tuple(self._subscribers):
            for message in self._messages(look, subscriber.principal):
                if message.id > subscriber.told_id:
                    subscriber.put(message)
            subscriber.told_id = max(subscriber.told_id, latest_id)
            subscriber.put(capacity)

    async def _pass_places_on(self, mark: Any) -> None:
        news = await self.places(_people(subscriber.principal for subscriber in self._subscribers))
        self._queue_mark = mark  # not before: a look that failed is made again
        for subscriber in tuple(self._subscribers):
            self._tell_places(subscriber, news, self._latest_id)

    @staticmethod
    def _tell_places(subscriber: Subscriber, news: QueueNews, latest_id: int) -> None:
        """Tell a stream how many wait and at which places its owner's requests stand, if that is new."""
        principal = subscriber.principal
        mine = news.by_owner.get(principal.name, ()) if principal.is_user else ()
        items = [place.data for place in mine if principal.may(READ, principal.name, server_name=place.server_name)]
        told = (news.length, [without_words(item) for item in items])
        if told != subscriber.told_queue:
            subscriber.told_queue = told
            subscriber.put(Message("queue", {"queue_length": news.length, "items": items}, latest_id))

    async def _pass_notices_on(self, latest: int) -> None:
        notices = await self.notices(_people(subscriber.principal for subscriber in self._subscribers))
        self._latest_notice = latest  # not before: a look that failed is made again
        for subscriber in tuple(self._subscribers):
            self._tell_notice(subscriber, notices, self._latest_id)

    @staticmethod
    def _tell_notice(subscriber: Subscriber, notices: Mapping[str, int], latest_id: int) -> None:
        """Tell a stream the id of its owner's newest notice, if that is new: whoever shows notices reads them then."""
        principal = subscriber.principal
        newest = notices.get(principal.name, 0) if principal.is_user and principal.may(READ, principal.name) else 0
        if newest != subscriber.told_notice:
            subscriber.told_notice = newest
            subscriber.put(Message("notification", {"newest_id": newest}, latest_id))

    async def _pass_releases_on(self) -> None:
        """Tell whose sessions are warned of, or not any more, or for another time: who else waits changes that too."""
        releases = await self.releases(_people(subscriber.principal for subscriber in self._subscribers))
        for subscriber in tuple(self._subscribers):
            self._tell_releases(subscriber, releases, self._latest_id)

    @staticmethod
    def _tell_releases(subscriber: Subscriber, releases: Mapping[str, tuple[OwnPlace, ...]], latest_id: int) -> None:
        principal = subscriber.principal
        mine = releases.get(principal.name, ()) if principal.is_user else ()
        items = [session.data for session in mine if principal.may(READ, principal.name, server_name=session.server_name)]
        if items != (subscriber.told_release or []):
            subscriber.told_release = items
            subscriber.put(Message("release", {"items": items}, latest_id))

    async def _pass_announcements_on(self) -> None:
        """Tell every stream what is announced, whenever that changes: whoever shows announcements reads them then."""
        announced = await self.announcements()
        before, self._announced = self._announced, announced
        if before == announced:
            return
        for subscriber in tuple(self._subscribers):
            subscriber.put(Message("announcement", {"ids": list(announced)}, self._latest_id))

    async def _pass_costs_on(self) -> None:
        for name in {s.principal.name for s in self._subscribers if s.principal.is_user}:
            for cost in await self.costs(name):
                self._put_to(name, Message("cost", cost, self._latest_id))

    def _put_to(self, user_name: str, message: Message) -> None:
        for subscriber in self._subscribers:
            if subscriber.principal.is_user and subscriber.principal.name == user_name:
                subscriber.put(message)

    def _transitions(self, look: Look) -> tuple[tuple[Message, Allocation], ...]:
        """Return the events of a look, the same ones for every stream that is told of it."""
        if self._made[0] is not look:
            found = ((event, look.allocations[event.allocation_id]) for event in look.events)
            self._made = (look, tuple((Message("allocation", transition(event, allocation), event.id), allocation) for event, allocation in found))
        return self._made[1]

    def _messages(self, look: Look, principal: Principal) -> list[Message]:
        """Return the allocation events of a look that a caller may know."""
        return [message for message, allocation in self._transitions(look) if is_visible(principal, allocation)]


def _people(principals: Iterable[Principal]) -> frozenset[str]:
    return frozenset(principal.name for principal in principals if principal.is_user)


def without_words(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return a place without its sentence, which says how long from now and so is another each time."""
    reason = item["queue"]["reason"]
    return {**item, "queue": {**item["queue"], "reason": {name: value for name, value in reason.items() if name != "message"}}}


def transition(event: AllocationEvent, allocation: Allocation) -> dict[str, Any]:
    """Return the data of an ``allocation`` event: the step, and enough to show it."""
    return {
        "id": allocation.id,
        "user": allocation.user_name,
        "server_name": allocation.server_name,
        "environment_template": allocation.request.environment_template,
        "gpus": allocation.request.gpus,
        "gpu_type": allocation.request.gpu_type,
        "at": event.at,
        "from": event.from_state,
        "state": event.to_state,
        "cause": event.cause,
        "actor": event.actor,
        "is_ready": allocation.ready_at is not None and allocation.is_open,
    }
