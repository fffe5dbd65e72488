"""The stream tells owners, and nobody else, what becomes of their running sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from aiplatform_hub.services.platform.events import EventStream, OwnPlace
from tests.api.test_event_stream import ALICE, BOB, KEY, Table, drained


class Sessions(Table):
    """One session of Alice's."""

    def __init__(self) -> None:
        super().__init__()
        self.action = "keep"
        self.has_read = asyncio.Event()

    async def releases(self, people):
        self.has_read.set()
        await asyncio.sleep(0.002)
        return {name: (OwnPlace("a", {"id": KEY, "server_name": "a", "release": {"action": self.action}}),) for name in people & {"alice"}}


def stream_of(table: Sessions) -> EventStream:
    return EventStream(
        look=table.look,
        capacity=table.capacity,
        quota=table.quota,
        costs=table.costs,
        places=table.places,
        releases=table.releases,
        poll_seconds=0.005,
        release_seconds=0.005,
    )


def actions(subscriber) -> list:
    return [[item["release"]["action"] for item in m.data["items"]] for m in drained(subscriber) if m.kind == "release"]


async def read_again(table: Sessions, times: int = 3) -> None:
    """Wait until it was read and passed on."""
    for _ in range(times):
        table.has_read.clear()
        await asyncio.wait_for(table.has_read.wait(), 30)


def test_a_warning_is_told_once_and_to_its_owner_alone():
    async def play():
        table = Sessions()
        stream = stream_of(table)
        alice, bob = await stream.subscribe(ALICE, after_id=None), await stream.subscribe(BOB, after_id=None)
        other = await stream.subscribe(replace(ALICE, scopes=frozenset({"read:servers!server=alice/b"})), after_id=None)
        assert actions(alice) == [["keep"]], "told at once: the page may be old"
        await read_again(table)
        table.action = "warn"
        await read_again(table)
        assert actions(alice) == [["warn"]]
        await read_again(table)
        assert actions(alice) == []
        assert actions(bob) == actions(other) == []
        for subscriber in (alice, bob, other):
            stream.unsubscribe(subscriber)

    asyncio.run(play())
