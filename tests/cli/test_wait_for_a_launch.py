"""Waiting for a launch, where platform, hub or network fail: what the running ones cannot be made to show at will."""

from __future__ import annotations

import pytest

from aiplatform_hub.cli import launch as module
from aiplatform_hub.cli.launch import Wait
from aiplatform_hub.cli.rest import RefusedError
from aiplatform_hub.errors import ServiceUnavailableError

AWAY = ServiceUnavailableError("The platform does not answer.")


def refused(code: str) -> RefusedError:
    error = RefusedError("No.")
    error.problem_code = code
    return error


def seen(state: str, id_: str = "11111111-a", position: int = 1, **values):
    queue = {"position": position, "reason": {"code": "capacity", "message": f"Place {position}."}} if state == "queued" else None
    ended_at = "2026-11-01T00:00:00Z" if state in {"ended", "expired", "withdrawn"} else None
    defaults = {"end_cause": None, "is_ready": state == "ready", "succeeds": None}
    return {"id": id_, "user": "alice", "server_name": "train", "state": state, "queue": queue, "ended_at": ended_at, **defaults, **values}


class Client:
    """Gives one answer after the other."""

    def __init__(self, *answers, live=()) -> None:
        self.answers = list(answers)
        self.live = list(live)

    def get(self, path):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert path == f"allocations/{answer['id']}"
        return answer

    def allocations(self, *, most, **filters):
        return self.live


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module.time, "sleep", lambda _: None)


def wait(first, *answers, live=()):
    return Wait(Client(*answers, live=live), first, is_quiet=False).until_ready()


def test_a_place_is_said_once_until_it_changes(capsys):
    wait(seen("queued", position=2), seen("queued", position=2), seen("queued"), seen("queued"), seen("held"), seen("active"), seen("ready"))
    assert capsys.readouterr().out.splitlines() == [
        "train: Place 2. How long, nobody knows yet.",
        "train: Place 1. How long, nobody knows yet.",
        "train is starting …",
    ]


def test_a_failed_start_that_the_queue_repeats_is_followed(capsys):
    again = seen("queued", "22222222-b", succeeds="11111111-a")
    ready = wait(seen("held"), seen("ended", end_cause="start_failed"), seen("ready", "22222222-b"), live=[seen("active", "33333333-c"), again])
    assert ready["id"] == "22222222-b"
    assert "front of the queue" in capsys.readouterr().out


@pytest.mark.parametrize(("state", "cause"), [("ended", "start_failed"), ("expired", "interest_expired"), ("withdrawn", "stopped_by_user")])
def test_what_is_over_is_said_with_its_cause(state, cause):
    with pytest.raises(RefusedError, match=f"train did not start: {cause}"):
        wait(seen("queued"), seen(state, end_cause=cause))


def test_a_platform_that_is_away_for_a_while_ends_no_wait(capsys):
    ready = wait(seen("queued"), AWAY, AWAY, seen("queued"), refused("rate_limited"), seen("ready"))
    assert ready["is_ready"]
    assert capsys.readouterr().out.count("Still waiting") == 1


def test_what_is_not_to_be_seen_any_more_ends_the_wait():
    with pytest.raises(RefusedError):
        wait(seen("queued"), refused("not_found"))


@pytest.mark.parametrize(("answer", "error"), [(AWAY, ServiceUnavailableError), (seen("held"), RefusedError)])
def test_a_start_is_waited_for_five_minutes_and_not_for_ever(monkeypatch, answer, error):
    clock = iter(range(0, 100_000, 100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with pytest.raises(error):
        wait(seen("held"), *[answer] * 20)


def test_time_in_the_queue_does_not_count_as_start(monkeypatch):
    clock = iter(range(0, 100_000, 200))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    ready = wait(seen("held"), seen("queued"), *[seen("queued")] * 20, seen("held"), seen("ready"))
    assert ready["is_ready"]
