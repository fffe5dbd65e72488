"""One look for all running pods: who ended is asked, nobody else, and nobody twice at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiplatform_hub.hub.pod_rounds import PodRounds, rounds_every
from tests.support.hub import wait_for


class Server:
    def __init__(self, *, runs: bool = True) -> None:
        self.runs, self.asked = runs, 0
        self.may_answer = asyncio.Event()

    def seems_to_run(self) -> bool:
        return self.runs

    async def poll_and_notify(self) -> None:
        self.asked += 1
        await self.may_answer.wait()


async def until(is_so: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_for, is_so, "what the looks bring about", 10, 0.005)


def test_only_who_does_not_seem_to_run_is_asked() -> None:
    async def run() -> None:
        rounds, running, ended = PodRounds(60), Server(), Server(runs=False)
        rounds.watch(running)
        rounds.watch(ended)
        rounds.look()
        await until(lambda: ended.asked == 1)
        assert running.asked == 0

    asyncio.run(run())


def test_who_is_still_being_asked_is_not_asked_twice_and_holds_up_nobody() -> None:
    async def run() -> None:
        rounds, slow, quick = PodRounds(0.01), Server(runs=False), Server(runs=False)
        quick.may_answer.set()
        rounds.watch(slow)
        rounds.watch(quick)
        await until(lambda: quick.asked >= 3)
        assert slow.asked == 1
        slow.may_answer.set()
        await until(lambda: slow.asked > 1)

    asyncio.run(run())


def test_who_is_stopped_between_look_and_question_is_not_asked() -> None:
    async def run() -> None:
        rounds, ended, other = PodRounds(60), Server(runs=False), Server(runs=False)
        watching = rounds.watch(ended)
        rounds.watch(other)
        rounds.look()
        watching.stop()
        await until(lambda: other.asked == 1)
        assert ended.asked == 0

    asyncio.run(run())


def test_looks_go_on_by_themselves_until_nobody_is_watched() -> None:
    async def run() -> None:
        rounds, server, other = PodRounds(0.01), Server(runs=False), Server()
        server.may_answer.set()
        watching, others = rounds.watch(server), rounds.watch(other)
        await until(lambda: server.asked >= 2)
        watching.stop()
        watching.stop()
        before, other.runs = server.asked, False
        await until(lambda: other.asked == 1)
        assert server.asked == before
        others.stop()
        assert not rounds.is_looking
        rounds.watch(server)
        await until(lambda: server.asked > before)

    asyncio.run(run())


def test_those_of_one_interval_share_their_looks() -> None:
    async def run() -> None:
        assert rounds_every(5) is rounds_every(5)
        assert rounds_every(5) is not rounds_every(7)

    asyncio.run(run())
