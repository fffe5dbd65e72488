"""The stream's loop by itself: looks only while somebody listens, loses nothing, sends nothing twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import pytest

from aiplatform_hub.domain.allocations import AllocationEvent, AllocationState
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.events import MAX_WAITING, EventStream, Look, OwnPlace, QueueNews

NOW = datetime(2026, 11, 1, tzinfo=UTC)
KEY = UUID(int=1)
ALLOCATION = SimpleNamespace(
    id=KEY,
    user_name="alice",
    server_name="a",
    ready_at=None,
    is_open=True,
    request=SimpleNamespace(environment_template="jupyterlab", gpus=0, gpu_type=None),
)
ALICE = Principal("alice", "user", is_admin=False, groups=frozenset(), scopes=frozenset({"read:servers!user=alice"}), token="t")
BOB = Principal("bob", "user", is_admin=False, groups=frozenset(), scopes=frozenset({"read:servers!user=bob"}), token="t")


class Table:
    """Events that a look finds."""

    def __init__(self) -> None:
        self.last = 0
        self.looks = 0
        self.mark = 0
        self.position = 1
        self.notice = 0
        self.deadline = 0
        self.announced = 0
        self.message = "Next in line."

    async def look(self, after_id: int | None) -> Look:
        self.looks += 1
        latest = self.last
        await asyncio.sleep(0.002)
        ids = range((latest if after_id is None else after_id) + 1, latest + 1)
        events = tuple(AllocationEvent(n, KEY, NOW, None, AllocationState.ACTIVE, f"step-{n}", "hub") for n in ids)
        return Look(latest, events, {KEY: ALLOCATION}, latest_notice=self.notice, queue_mark=self.mark)

    async def places(self, people: frozenset[str]) -> QueueNews:
        await asyncio.sleep(0.002)
        data = {"id": KEY, "server_name": "a", "queue": {"position": self.position, "reason": {"code": "capacity", "message": self.message}}}
        return QueueNews(self.position, {name: (OwnPlace("a", data),) for name in people & {"alice"}})

    async def notices(self, people: frozenset[str]) -> dict[str, int]:
        return dict.fromkeys(people & {"alice"}, self.notice)

    async def capacity(self):
        await asyncio.sleep(0.002)
        return {}

    async def quota(self, user_name):
        await asyncio.sleep(0.002)
        return {"user": user_name}

    async def costs(self, user_name):
        return []

    async def releases(self, people):
        await asyncio.sleep(0.002)
        return {name: (OwnPlace("a", {"deadline": self.deadline}),) for name in people & {"alice"}} if self.deadline else {}

    async def announcements(self):
        return (self.announced,) if self.announced else ()


def stream_of(table: Table) -> EventStream:
    return EventStream(
        look=table.look,
        capacity=table.capacity,
        quota=table.quota,
        costs=table.costs,
        places=table.places,
        releases=table.releases,
        notices=table.notices,
        announcements=table.announcements,
        poll_seconds=0.005,
    )


def drained(subscriber) -> list:
    found = []
    while not subscriber.queue.empty():
        found.append(subscriber.queue.get_nowait())
    return found


async def count(table: Table, until: int) -> None:
    for number in range(1, until + 1):
        table.last = number
        await asyncio.sleep(0.001)


def test_each_event_reaches_each_stream_once_even_if_it_opens_meanwhile():
    async def play():
        table = Table()
        stream = stream_of(table)
        writer = asyncio.create_task(count(table, 100))
        subscribers = []
        for _ in range(10):
            subscribers.append(await stream.subscribe(ALICE, after_id=0))
            await asyncio.sleep(0.005)
        other = await stream.subscribe(BOB, after_id=0)
        await writer
        await asyncio.sleep(0.1)
        for subscriber in subscribers:
            ids = [m.id for m in drained(subscriber) if m.kind == "allocation"]
            assert ids == list(range(1, 101))
        assert not [m for m in drained(other) if m.kind == "allocation"]
        for subscriber in (*subscribers, other):
            stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_nobody_looks_when_nobody_listens():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        async with asyncio.timeout(30):
            while table.looks <= 3:  # noqa: ASYNC110 - only looking tells
                await asyncio.sleep(0.005)
        stream.unsubscribe(subscriber)
        await asyncio.sleep(0.02)
        looks = table.looks
        await asyncio.sleep(0.05)
        assert table.looks == looks

    asyncio.run(play())


def test_a_stream_that_nobody_reads_ends():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        table.last = MAX_WAITING + 10
        await asyncio.sleep(0.1)
        assert drained(subscriber)[-1] is None or subscriber.queue.maxsize == MAX_WAITING
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_look_that_fails_does_not_end_the_stream():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        look, stream.look = stream.look, None
        await asyncio.sleep(0.03)
        stream.look = look
        table.last = 1
        await asyncio.sleep(0.05)
        assert [m.id for m in drained(subscriber) if m.kind == "allocation"] == [1]
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_stream_that_opens_ahead_of_the_looks_is_told_nothing_twice():
    async def play():
        table = Table()
        stream = EventStream(
            look=table.look, capacity=table.capacity, quota=table.quota, costs=table.costs, places=table.places, releases=table.releases, poll_seconds=0.1
        )
        early = await stream.subscribe(ALICE, after_id=0)
        table.last = 5
        late = await stream.subscribe(ALICE, after_id=0)  # knows all five before the next look
        drained(early)
        assert (await early.queue.get()).kind == "allocation"  # the next look has told it
        await asyncio.sleep(0)
        assert [m.id for m in drained(late) if m.kind == "allocation"] == [1, 2, 3, 4, 5]
        for subscriber in (early, late):
            stream.unsubscribe(subscriber)

    asyncio.run(play())


async def next_of(subscriber, kind: str):
    """Return the next message of a kind; others before it are dropped."""
    while True:
        message = await asyncio.wait_for(subscriber.queue.get(), 5)
        if message.kind == kind:
            return message


async def next_places(subscriber) -> tuple:
    data = (await next_of(subscriber, "queue")).data
    return data["queue_length"], [item["queue"]["position"] for item in data["items"]]


async def looked_again(table: Table, times: int = 3) -> None:
    seen = table.looks
    while table.looks < seen + times:  # noqa: ASYNC110 - the table has nothing to wait for
        await asyncio.sleep(0.001)


def test_a_place_is_told_to_its_owner_alone_and_the_length_to_everybody():
    async def play():
        table = Table()
        table.position = 3
        stream = stream_of(table)
        alice, bob = await stream.subscribe(ALICE, after_id=None), await stream.subscribe(BOB, after_id=None)
        assert await next_places(alice) == (3, [3])
        assert await next_places(bob) == (3, [])
        table.position, table.mark = 2, 1
        assert await next_places(alice) == (2, [2])
        assert await next_places(bob) == (2, [])
        table.mark = 2  # nothing new in it
        await looked_again(table)
        assert not [m for m in (*drained(alice), *drained(bob)) if m.kind == "queue"]
        for subscriber in (alice, bob):
            stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_length_that_an_event_changes_is_told_before_the_next_pass_of_the_dispatcher():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        assert await next_places(subscriber) == (1, [1])
        await looked_again(table)
        table.position, table.last = 2, 1
        assert await next_places(subscriber) == (2, [2])
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_nothing_is_told_when_nothing_happens():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        await looked_again(table)
        drained(subscriber)
        await looked_again(table)
        assert not drained(subscriber)
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_what_only_time_changes_of_a_place_is_not_told():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        drained(subscriber)
        table.message, table.mark = "Next in line. Expected in about 34 min.", 1
        await looked_again(table)
        assert not [m for m in drained(subscriber) if m.kind == "queue"]
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_token_for_another_server_is_not_told_a_place():
    async def play():
        narrow = Principal("alice", "user", is_admin=False, groups=frozenset(), scopes=frozenset({"read:servers!server=alice/b"}), token="t")
        stream = stream_of(Table())
        subscriber = await stream.subscribe(narrow, after_id=None)
        assert await next_places(subscriber) == (1, [])
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_place_that_could_not_be_read_is_read_again():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        await looked_again(table)
        drained(subscriber)
        places, stream.places = stream.places, None
        table.position, table.mark = 2, 1
        await looked_again(table)
        stream.places = places
        assert await next_places(subscriber) == (2, [2])
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_an_event_that_could_not_be_passed_on_is_passed_on_later():
    async def play():
        table = Table()
        stream = stream_of(table)
        subscriber = await stream.subscribe(ALICE, after_id=None)
        capacity, stream.capacity = stream.capacity, None
        table.last = 1
        await looked_again(table)
        stream.capacity = capacity
        assert (await next_of(subscriber, "allocation")).id == 1
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_stream_is_told_of_its_owners_newest_notification_and_of_no_other():
    async def play():
        table = Table()
        table.notice = 3
        stream = stream_of(table)
        alice, bob = await stream.subscribe(ALICE, after_id=None), await stream.subscribe(BOB, after_id=None)
        await asyncio.sleep(0.05)
        table.notice = 5
        told: list[int] = []
        for _ in range(2000):
            told += [message.data["newest_id"] for message in drained(alice) if message.kind == "notification"]
            if told == [3, 5]:
                break
            await asyncio.sleep(0.005)
        assert told == [3, 5]
        assert [message.data["newest_id"] for message in drained(bob) if message.kind == "notification"] == [0]
        for subscriber in (alice, bob):
            stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_stream_tells_nothing_of_a_state_that_its_page_shows():
    async def play():
        table = Table()
        table.last, table.notice = 3, 2
        stream = stream_of(table)
        state = await stream.state_of(ALICE)
        assert state != await stream.state_of(BOB)
        for _ in range(2):  # the first begins the looking, the second finds it
            subscriber = await stream.subscribe(ALICE, after_id=None, state=state)
            await looked_again(table)
            assert not drained(subscriber)
        table.last = 4
        assert (await next_of(subscriber, "allocation")).id == 4
        stream.close()
        stream.unsubscribe(subscriber)

    asyncio.run(play())


@pytest.mark.parametrize("what", ["last", "mark", "notice", "deadline", "announced"])
def test_whatever_happened_between_a_page_and_its_stream_is_told(what: str):
    async def play():
        table = Table()
        stream = stream_of(table)
        state = await stream.state_of(ALICE)
        setattr(table, what, 1)
        subscriber = await stream.subscribe(ALICE, after_id=None, state=state)
        assert {"capacity", "quota", "queue", "notification", "announcement"} <= {message.kind for message in drained(subscriber)}
        stream.unsubscribe(subscriber)

    asyncio.run(play())


def test_a_place_that_is_passed_on_while_a_stream_opens_is_told_to_it_too():
    async def play():
        table = Table()
        stream = stream_of(table)
        first = await stream.subscribe(ALICE, after_id=None)
        await looked_again(table)
        state, places = await stream.state_of(ALICE), stream.places

        async def late(people: frozenset[str]) -> QueueNews:
            """Answer what was true before the others were told something else."""
            found, stream.places = await places(people), places
            table.position, table.mark = 2, 1
            await next_places(first)
            return found

        drained(first)
        stream.places = late
        second = await stream.subscribe(ALICE, after_id=None, state=state)
        async with asyncio.timeout(5):
            while await next_places(second) != (2, [2]):
                pass
        for subscriber in (first, second):
            stream.unsubscribe(subscriber)

    asyncio.run(play())
