"""(h) From a change of a session to the browsers that are told of it, with many streams open.

A real hub, its proxy and the platform service; the streams are read through the proxy. Half of them are of an account that may see everything and
so is told of every event, the others belong to ten people. Timed from just before the change is written until an open stream has the whole event:
once for every stream that is told. This program reads all streams itself, so its own work is in the figures.

Run: PYTHONPATH=. python benchmarks/streams.py [--streams 200] [--events 60]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from collections import defaultdict

from pairs import machine

from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from tests.api.place import API, EXTRA_CONFIG, MONITOR_TOKEN, Place
from tests.support.hub import TRIVIAL, USERS, RealHub, real_hub

TARGET_SECONDS = 0.25
PAUSE_SECONDS = 0.43
"""Between two changes: no multiple of the platform's own rhythm, so that changes fall anywhere in it."""


class Streams:
    """All open streams, and when each of them had which event."""

    def __init__(self) -> None:
        self.opened = 0
        self.seen: dict[str, list[float]] = defaultdict(list)
        """By session: at which instants a stream had the event of its end."""

    async def read(self, hub: RealHub, token: str) -> None:
        """Open one stream and note its events until it is cut."""
        reader, writer = await asyncio.open_connection("127.0.0.1", int(hub.url.rsplit(":", 1)[1]))
        writer.write(f"GET {API}events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n".encode())
        status = (await reader.readline()).decode()
        if " 200 " not in status:
            raise SystemExit(f"no stream: {status}")
        self.opened += 1
        kind = ""
        while line := (await reader.readline()).decode():
            if line.startswith("event: "):
                kind = line[7:].strip()
            elif line.startswith("data: ") and kind == "allocation":
                data = json.loads(line[6:])
                self.seen[data["id"]].append(time.monotonic())


async def measure(hub: RealHub, streams: int, events: int) -> tuple[list[float], int]:
    """Return what each told stream waited, in seconds, and how many messages never came."""
    opened = Streams()
    monitors = streams // 2
    tokens = [MONITOR_TOKEN] * monitors + [hub.tokens[USERS[number % len(USERS)]] for number in range(streams - monitors)]
    tasks = [asyncio.create_task(opened.read(hub, token)) for token in tokens]
    while opened.opened < streams:
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    await asyncio.sleep(5)
    changed: dict[str, tuple[float, int]] = {}
    for number in range(events):
        name = USERS[number % len(USERS)]
        told = sum(token in {MONITOR_TOKEN, hub.tokens[name]} for token in tokens)
        caller = Caller(1000 + number % len(USERS), name)
        held = await asyncio.to_thread(
            hub.factory.enforcer.hold,
            caller,
            LaunchRequest(TRIVIAL, 1, "simulated", 1024**3, 1, "personal", ""),
            ServerKey(caller.user_id, f"bench{number}"),
            door="rest",
            actor=name,
        )
        await asyncio.sleep(PAUSE_SECONDS)  # a hold alone is no event
        began = time.monotonic()
        await asyncio.to_thread(hub.factory.meter.released, held.id, EndCause.STOPPED_BY_USER, name)
        changed[str(held.id)] = (began, told)
    await asyncio.sleep(5)
    for task in tasks:
        task.cancel()
    waits = [at - began for key, (began, _) in changed.items() for at in opened.seen[key]]
    return sorted(waits), sum(told for _, told in changed.values()) - len(waits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--events", type=int, default=60)
    arguments = parser.parse_args()
    print(machine())
    with real_hub(extra_config=EXTRA_CONFIG) as hub:
        place = Place(hub)
        place.start()
        try:
            waits, missing = asyncio.run(measure(hub, arguments.streams, arguments.events))
        finally:
            place.stop()
    p99 = waits[int(0.99 * (len(waits) - 1))]
    verdict = "met" if p99 <= TARGET_SECONDS and not missing else "missed"
    print(f"{arguments.streams} streams, {len(waits)} messages, {missing} never came: ", end="")
    print(f"median {statistics.median(waits) * 1000:.0f} ms, p95 {waits[int(0.95 * (len(waits) - 1))] * 1000:.0f} ms, ", end="")
    print(f"p99 {p99 * 1000:.0f} ms, worst {waits[-1] * 1000:.0f} ms")
    print(f"(target p99 {TARGET_SECONDS * 1000:.0f} ms, {verdict}; load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
