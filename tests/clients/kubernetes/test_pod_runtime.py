"""The runtime over a source that tests control."""

import copy
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from aiplatform_hub.clients.kubernetes.access import ClusterUnavailableError
from aiplatform_hub.clients.kubernetes.runtime import PodRuntime
from aiplatform_hub.domain.allocations import EndCause

PODS = json.loads((Path(__file__).parents[2] / "data" / "kubernetes" / "pods.json").read_text())
NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)


class Source:
    """Pods as a test puts them; what is done to them is noted."""

    def __init__(self, **pods):
        self.current = {UUID(int=int(key[1:])): copy.deepcopy(PODS[name]) for key, name in pods.items()}
        self.is_known, self.is_away, self.done, self.silent_for = True, False, [], None

    def pods(self, ids):
        return {id_: pod for id_, pod in self.current.items() if ids is None or id_ in ids} if self.is_known else None

    def nodes(self):
        since = NOW - timedelta(seconds=self.silent_for or 0)
        ready = {"type": "Ready", "status": "True" if self.silent_for is None else "Unknown", "lastTransitionTime": since.isoformat()}
        return {"gpu-node-1": {"metadata": {"name": "gpu-node-1"}, "status": {"conditions": [ready]}}}

    def node_lease_renewed(self, node):
        return NOW - timedelta(seconds=self.silent_for + 5)

    def delete(self, pod, grace_seconds):
        self._do("delete", pod)
        pod["metadata"]["deletionTimestamp"] = NOW.isoformat()
        pod["status"] = copy.deepcopy(PODS["forced"]["status"])

    def release(self, pod):
        self._do("release", pod)
        pod["metadata"]["finalizers"] = []

    def _do(self, what, pod):
        if self.is_away:
            raise ClusterUnavailableError("away")
        self.done.append((what, pod["metadata"]["name"]))


def runtime(source, now=NOW):
    return PodRuntime(source=source, clock=lambda: now, node_lost_after=timedelta(seconds=300))


def test_what_has_no_pod_is_gone_and_what_is_not_known_is_not():
    source = Source(p1="running")
    found = runtime(source).records([ONE, TWO])
    assert (found.found[ONE].is_alive, found.found[TWO].is_gone) == (True, True)
    source.is_known = False
    found = runtime(source).records([ONE, TWO])
    assert (found.found, found.unreadable) == ({}, {ONE, TWO})


def test_who_has_not_confirmed_the_cluster_cannot_tell_that_something_is_gone():
    """A hub that is pointed at another cluster must not end what runs in the right one."""
    hub = PodRuntime(source=Source(p1="running"), clock=lambda: NOW, node_lost_after=timedelta(seconds=300), can_tell_gone=False)
    found = hub.records([ONE, TWO])
    assert (set(found.found), found.unreadable) == ({ONE}, {TWO})


def test_changed_names_new_different_and_vanished_pods():
    source = Source(p1="running", p2="image")
    watched = runtime(source)
    assert watched.changed() == {ONE, TWO}
    assert watched.changed() == frozenset()
    source.current[ONE]["metadata"]["resourceVersion"] = "later"
    del source.current[TWO]
    assert watched.changed() == {ONE, TWO}
    watched.forget([ONE])
    assert watched.changed() == {ONE}
    source.is_known = False
    assert watched.changed() == frozenset()


@pytest.mark.parametrize(("seconds", "is_alive", "cause"), [(299, True, None), (300, False, EndCause.NODE_LOST)])
def test_a_silent_node_proves_until_its_lease(seconds, is_alive, cause):
    source = Source(p1="running")
    source.silent_for = seconds
    record = runtime(source).records([ONE]).found[ONE]
    assert (record.is_alive, record.cause, record.last_seen_at) == (is_alive, cause, NOW - timedelta(seconds=seconds + 5))


def test_stop_deletes_the_pod_and_waits_for_its_end():
    source = Source(p1="running")
    runtime(source).stop(ONE, 2)
    runtime(source).stop(TWO, 2)
    assert source.done == [("delete", "running")]
    assert not runtime(source).records([ONE]).found[ONE].is_alive


@pytest.mark.parametrize(
    ("name", "later", "done"),
    [
        ("crash", 0, ["release"]),  # its hub may still want to look at it
        ("crash", 3600, ["delete", "release"]),
        ("image", 0, ["delete", "release"]),  # it must not begin any more
        ("deleted", 3600, ["release"]),
    ],
)
def test_a_closed_session_lets_its_pod_go(name, later, done):
    source = Source(p1=name)
    ended = datetime.fromisoformat("2026-11-24T17:27:40Z")
    runtime(source, ended + timedelta(seconds=later)).settled([ONE, TWO])
    assert source.done == [(what, name) for what in done]


def test_an_api_server_that_is_away_is_no_failure():
    source = Source(p1="image")
    source.is_away = True
    runtime(source).settled([ONE])
    runtime(source).stop(ONE, 0)
    assert source.done == []
