"""Starts that come at once: none is refused for those before it, and what has happened is recorded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.hub import process as process_module
from aiplatform_hub.hub.process import HubProcess
from aiplatform_hub.storage.database import DatabaseAwayError, DatabaseBusyError
from tests.support.hub import wait_for


@pytest.fixture
def process(tmp_path: Path) -> HubProcess:
    return HubProcess(Settings(data_dir=tmp_path))


def test_the_last_of_many_decisions_waits_for_its_turn(process: HubProcess) -> None:
    async def run() -> list[int]:
        def decision(number: int) -> int:
            time.sleep(0.1)
            return number

        return list(await asyncio.gather(*(process.decide(lambda n=n: decision(n), lambda _: None) for n in range(15))))

    assert asyncio.run(run()) == list(range(15))


def test_a_decision_that_takes_too_long_is_refused_and_undone(process: HubProcess) -> None:
    undone: list[str] = []

    async def run() -> float:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailableError):
            await process.decide(lambda: time.sleep(1.5) or "late", undone.append)
        return time.monotonic() - began

    assert asyncio.run(run()) < 1.4
    until = time.monotonic() + 5
    while not undone and time.monotonic() < until:
        time.sleep(0.05)
    assert undone == ["late"]


def test_a_decision_whose_turn_never_comes_is_refused_and_not_made(process: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "TURN_SECONDS", 0.3)
    made: list[int] = []

    async def run() -> list[object]:
        first = process.decide(lambda: time.sleep(0.7), lambda _: None)
        return list(await asyncio.gather(first, process.decide(lambda: made.append(1), lambda _: None), return_exceptions=True))

    first, second = asyncio.run(run())
    assert first is None
    assert isinstance(second, ServiceUnavailableError)
    assert made == []


def test_a_decision_that_found_the_database_locked_is_made_once_more(process: HubProcess) -> None:
    answers: Iterator[Exception | str] = iter([DatabaseBusyError("locked"), "held"])

    def decision() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert asyncio.run(process.decide(decision, lambda _: None)) == "held"


@pytest.mark.parametrize("error", [DatabaseBusyError("locked"), DatabaseAwayError("gone")])
def test_a_decision_is_not_tried_again_in_vain(process: HubProcess, error: Exception) -> None:
    tries: list[float] = []

    def decision() -> None:
        tries.append(time.monotonic())
        if isinstance(error, DatabaseBusyError):
            time.sleep(process_module.AGAIN_SECONDS * 1.2)
        raise error

    with pytest.raises(type(error)):
        asyncio.run(process.decide(decision, lambda _: None))
    assert len(tries) == 1


def test_what_has_happened_is_recorded_once_the_database_answers(process: HubProcess) -> None:
    answers = iter([ServiceUnavailableError("busy"), ServiceUnavailableError("busy"), None])

    def note() -> str:
        if error := next(answers):
            raise error
        return "recorded"

    assert asyncio.run(process.record(note, 10)) == "recorded"


def test_recording_gives_up_in_the_end(process: HubProcess) -> None:

    def note() -> None:
        raise ServiceUnavailableError("away")

    with pytest.raises(ServiceUnavailableError):
        asyncio.run(process.record(note, 0.3))


def test_servers_that_a_new_hub_finds_ready_are_recorded_together(process: HubProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "GATHERING_SECONDS", 0.05)
    first, second, third = uuid4(), uuid4(), uuid4()
    recorded: list[Collection[UUID]] = []

    class Meter:
        def found_ready(self, ids: Collection[UUID], _at: datetime) -> None:
            recorded.append(ids)

    process.factory.__dict__["meter"] = Meter()

    async def run() -> None:
        process.found_ready(first)
        process.found_ready(second)
        await asyncio.to_thread(wait_for, lambda: len(recorded) == 1, "the first two are recorded")
        process.found_ready(third)
        await asyncio.to_thread(wait_for, lambda: len(recorded) == 2, "the third is recorded")

    asyncio.run(run())
    assert recorded == [{first, second}, {third}]
