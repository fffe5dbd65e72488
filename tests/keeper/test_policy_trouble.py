"""A policy that the keeper cannot read stops nothing; its log, its health and its heartbeat say so."""

import asyncio
import logging
from datetime import UTC, datetime

from tornado.httpclient import AsyncHTTPClient

from aiplatform_hub.services.keeper.health import serve
from aiplatform_hub.services.keeper.keeper import Keeper
from aiplatform_hub.services.keeper.machine import MachineDuties
from aiplatform_hub.storage.policies import PolicyStore
from tests.support.machine import free_port


def test_unreadable_policy_is_told_and_the_keeper_works_on(machine, caplog):
    machine.factory.policies.apply("session_cap: 8h\n", name="policy.yaml", by="boss")
    with machine.factory.database.write() as connection:
        PolicyStore().insert(connection, "from_the_future: 1\n", at=datetime.now(UTC), by="later version")
    keeper = Keeper(factory=machine.factory, hub=None, duties=MachineDuties(factory=machine.factory))
    port = free_port()

    async def health():
        await keeper.once(keeper.ticks[0])
        server = serve("127.0.0.1", port, lambda: "", lambda: keeper.remark)
        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/health")
        server.stop()
        return answer

    answer = asyncio.run(health())
    assert answer.code == 200
    lines = answer.body.decode().splitlines()
    assert lines[0] == "The keeper is at work."
    assert "cannot be read by this version of the platform, so version 1 counts" in lines[1]
    assert [record.levelno for record in caplog.records if "cannot be read" in record.message] == [logging.ERROR]
    with machine.factory.database.read() as connection:
        beat = machine.factory.heartbeats.find(connection, "keeper")
    assert beat.detail["policy_version"] == 1
    assert "from_the_future" in beat.detail["policy_trouble"]
    machine.factory.policies.apply("", name="policy.yaml", by="boss")
    asyncio.run(keeper.once(keeper.ticks[0]))
    assert keeper.remark == ""
