"""The hub's check of a server when it starts: it waits for whoever is busy, and ends with the session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiplatform_hub.hub import first_check
from aiplatform_hub.hub.first_check import check_while_it_runs


class FakeServer:
    """Answers the hub's check with what it is told: a value, or how long it stays silent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    async def wait_up(self, **options: Any) -> Any:
        self.asked.append(options)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is Ellipsis:
            await asyncio.Event().wait()
        return answer


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_check, "LOOK_SECONDS", 0.01)


def checked(server: FakeServer, ends_after: int = 1_000_000) -> Any:
    """Return what the hub's check comes to, of a session that has ended at the look after so many."""
    looks = iter([False] * min(ends_after, 1000))

    async def has_ended() -> bool:
        return next(looks, True)

    async def check() -> Any:
        check_while_it_runs(server, has_ended)
        return await asyncio.wait_for(server.wait_up(timeout=3, http=True), 5)

    return asyncio.run(check())


def test_server_that_answers_is_asked_once_and_as_the_hub_asks() -> None:
    server = FakeServer("hello")
    assert checked(server) == "hello"
    assert server.asked == [{"timeout": 3, "http": True}]


def test_busy_server_is_asked_until_it_answers() -> None:
    server = FakeServer(TimeoutError(), TimeoutError(), "at last")
    assert checked(server) == "at last"
    assert len(server.asked) == 3


def test_check_fails_when_the_session_has_ended() -> None:
    server = FakeServer(TimeoutError(), TimeoutError(), "never asked")
    with pytest.raises(TimeoutError):
        checked(server, ends_after=1)
    assert len(server.asked) == 2


def test_end_is_seen_while_the_server_is_silent() -> None:
    server = FakeServer(...)
    with pytest.raises(TimeoutError):
        checked(server, ends_after=2)
    assert len(server.asked) == 1


def test_other_errors_are_the_hubs() -> None:
    with pytest.raises(ValueError, match="no address"):
        checked(FakeServer(ValueError("no address")))


def test_only_one_check_waits() -> None:
    server = FakeServer("hello", TimeoutError())
    checked(server)
    with pytest.raises(TimeoutError):
        asyncio.run(server.wait_up())
    assert "wait_up" not in vars(server)
