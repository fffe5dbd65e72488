"""Who is stopped a moment after being ready was ready: that is on record before the process ends, or the start would count as failed."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from aiplatform_hub.hub.spawner import AIPlatformSpawner


class Server:
    """As much of a spawner as tells and stops, with a database that is slow to take what it is told."""

    stop, _tell_ready = AIPlatformSpawner.stop, AIPlatformSpawner._tell_ready
    _log_name, log = "ana/train", logging.getLogger(__name__)

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.may_record, self.is_asked = asyncio.Event(), False
        meter = SimpleNamespace(ready=lambda *_: self.steps.append("ready"), request_stop=lambda *_: self.steps.append("stop asked for"))
        self.platform = SimpleNamespace(factory=SimpleNamespace(meter=meter, clock=lambda: None), record=self._record)
        self._telling: asyncio.Future[None] | None = asyncio.ensure_future(self._tell_ready(is_found=False))

    async def _record(self, call: Any, _seconds: float) -> None:
        if "ready" not in self.steps and not self.is_asked:
            self.is_asked = True
            await self.may_record.wait()
        call()

    async def current_allocation_id(self) -> UUID:
        return uuid4()

    async def end_session(self, _allocation_id: UUID) -> None:
        self.steps.append("ended")


def test_ready_is_recorded_before_a_stop_ends_it() -> None:
    async def run() -> list[str]:
        server = Server()
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(server.stop())
        asyncio.get_running_loop().call_soon(server.may_record.set)
        await stopping
        assert server._telling is None
        return server.steps

    assert asyncio.run(run()) == ["ready", "stop asked for", "ended"]
