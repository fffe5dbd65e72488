"""How a spawner follows its pod without a cluster: what it judges while the pod starts, and what it believes of one that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from aiplatform_hub.domain.pods import CONTAINER
from aiplatform_hub.errors import StartFailedError
from aiplatform_hub.hub import kube
from aiplatform_hub.hub.kube import AIPlatformKubeSpawner
from tests.support.hub import wait_for

KEY = "lab/jupyter-ana"
STARTING: dict[str, Any] = {"metadata": {"name": "jupyter-ana", "namespace": "lab"}, "spec": {"nodeName": "node-1"}, "status": {"phase": "Pending"}}
RUNNING: dict[str, Any] = {
    **STARTING,
    "status": {"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [{"name": CONTAINER, "ready": True, "state": {"running": {}}}]},
}
ENDED: dict[str, Any] = {**STARTING, "status": {"phase": "Failed"}}


class Spawner(AIPlatformKubeSpawner):
    """One that only looks: what it sees is written down here, what it says is counted."""

    def __init__(self, shown: dict[str, Any] | None) -> None:  # none of the hub's
        self.shown, self.judged = shown, []
        self.start_timeout = 300

    def _pod(self) -> dict[str, Any] | None:
        return self.shown

    def _own_events(self) -> list[dict[str, Any]]:
        return []

    def _tell(self, plan: Any, pod: Any, events: Any, seconds: float) -> None:
        self.judged.append(pod)


async def until(is_so: Callable[[], Any]) -> None:
    await asyncio.to_thread(wait_for, is_so, "what the looks bring about", 10, 0.005)


@pytest.fixture
def never_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "EVENT_SECONDS", float("inf"))


def follow(spawner: Spawner) -> asyncio.Task[Any]:
    return asyncio.ensure_future(spawner._watch_start(SimpleNamespace(), asyncio.get_running_loop().time()))


def test_a_pod_is_judged_when_it_changed_and_not_at_each_look(never_time: None) -> None:
    async def run() -> None:
        spawner = Spawner(STARTING)
        looks = []
        spawner._pod = lambda: looks.append(1) or spawner.shown  # type: ignore[method-assign]
        following = follow(spawner)
        await until(lambda: len(looks) >= 4)
        assert spawner.judged == [STARTING]
        spawner.shown = {**STARTING}
        await until(lambda: len(spawner.judged) == 2)
        spawner.shown = RUNNING
        assert await asyncio.wait_for(following, 10) is RUNNING

    asyncio.run(run())


def test_what_takes_long_is_judged_again_though_nothing_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "EVENT_SECONDS", 0.05)

    async def run() -> None:
        spawner = Spawner(STARTING)
        following = follow(spawner)
        await until(lambda: len(spawner.judged) >= 3)
        following.cancel()
        assert all(pod is STARTING for pod in spawner.judged)

    asyncio.run(run())


@pytest.mark.parametrize(("then", "said"), [(None, "Somebody deleted"), (ENDED, "ended before it began")])
def test_a_pod_that_goes_ends_the_start_at_once(never_time: None, then: dict[str, Any] | None, said: str) -> None:
    async def run() -> None:
        spawner = Spawner(STARTING)
        following = follow(spawner)
        await until(lambda: spawner.judged)
        spawner.shown = then
        with pytest.raises(StartFailedError, match=said):
            await asyncio.wait_for(following, 10)

    asyncio.run(run())


def live(pod: dict[str, Any] | None) -> SimpleNamespace:
    """Return what stands for a watch of KubeSpawner's that goes on."""
    loaded, task = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
    loaded.set_result(None)
    return SimpleNamespace(pods={} if pod is None else {KEY: pod}, resources={}, first_load_future=loaded, watch_task=task)


@pytest.mark.parametrize(
    ("pod", "is_live", "is_known", "runs"),
    [
        (RUNNING, True, True, True),
        (STARTING, True, True, True),
        (ENDED, True, True, False),
        (None, True, True, False),
        (RUNNING, False, True, False),
        (RUNNING, True, False, False),
    ],
)
def test_only_what_a_live_watch_shows_seems_to_run(monkeypatch: pytest.MonkeyPatch, pod: Any, is_live: bool, is_known: bool, runs: bool) -> None:
    async def run() -> None:
        spawner = Spawner(None)
        spawner.namespace, spawner.pod_name = KEY.split("/")
        spawner._allocation_id = uuid4() if is_known else None
        watch = live(pod)
        if not is_live:
            watch.watch_task.set_result(None)
        monkeypatch.setattr(Spawner, "reflectors", {spawner._get_reflector_key("pods"): watch})
        assert spawner.seems_to_run() is runs

    asyncio.run(run())


def test_a_pod_that_was_deleted_long_ago_does_not_seem_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        spawner = Spawner(None)
        spawner.namespace, spawner.pod_name = KEY.split("/")
        spawner._allocation_id = uuid4()
        gone = {**RUNNING, "metadata": {**RUNNING["metadata"], "deletionTimestamp": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}}
        monkeypatch.setattr(Spawner, "reflectors", {spawner._get_reflector_key("pods"): live(gone)})
        assert not spawner.seems_to_run()

    asyncio.run(run())
