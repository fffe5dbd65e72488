"""Clusters that are not as they should be: rights too small, an API server that is away, a storage class that is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.machinery.volumes import make_volumes
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.small_account import SmallAccount, shipped_rules
from tests.cluster.stack_fixtures import StackMaker
from tests.support.hub import wait_for

pytestmark = pytest.mark.own_cluster  # volumes are folders of its node
READ_CLASSES = {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get"]}
CONFIG = """
def _home(spawner):
    spawner.storage_class = {"user2": "no-such-class", "user3": "nor-such-a-class"}.get(spawner.user.name, "local")

c.Spawner.pre_spawn_hook = _home
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.storage_capacity = "1Gi"
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
c.KubeSpawner.delete_grace_period = 1
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 5}
"""
AWAY = "The cluster's API does not answer just now; nothing was started. Try again in a few seconds."


@pytest.fixture(scope="module")
def account(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallAccount]:
    made = SmallAccount(cluster, f"small-{os.getpid()}", tmp_path_factory.mktemp("small") / "kubeconfig")
    made.may(shipped_rules())
    yield made
    made.remove()


@pytest.fixture(scope="module")
def installed(make_stack: StackMaker, cluster: Any, account: SmallAccount) -> Iterator[ClusterStack]:
    make_volumes(cluster, 2, "1Gi")
    account.await_right("create", "pods", is_given=True)
    made = make_stack(extra_config=CONFIG, kubeconfigs={"hub": account.kubeconfig})
    yield made
    account.line.cut()  # the stack's end asks the cluster as its administrator


@pytest.fixture
def stack(installed: ClusterStack, account: SmallAccount) -> Iterator[ClusterStack]:
    yield installed
    account.may(shipped_rules())
    for allocation in installed.open_allocations():
        installed.stop_server(allocation.user_name)
    wait_for(lambda: not installed.open_allocations(), f"nothing is open\n{installed.log()}", 30)


def start(stack: ClusterStack, user: str) -> Any:
    return stack.start_server(user, "", {"environment_template": "trivial"})


def nothing_is_held(stack: ClusterStack) -> bool:
    return not stack.open_allocations() and not stack.pods()


@pytest.mark.parametrize("missing", [("pods", "create"), ("persistentvolumeclaims", "create")], ids=" ".join)
def test_a_start_names_the_rule_that_the_hub_lacks(stack: ClusterStack, account: SmallAccount, missing: tuple[str, str]) -> None:
    resource, verb = missing
    user = {"pods": "user0", "persistentvolumeclaims": "user4"}[resource]
    account.may(shipped_rules(without=missing))  # what an earlier test took is given again
    account.await_right(verb, resource, is_given=False)
    answer = start(stack, user)
    assert f"The hub may not {verb} {resource} in the namespace {stack.namespace}." in answer.json()["message"]
    assert f'add the rule: apiGroups [""], resources ["{resource}"], verbs ["{verb}"]' in answer.json()["message"]
    assert nothing_is_held(stack)
    assert stack.allocations_of(user)[-1].end_cause.value == "start_failed"  # type: ignore[union-attr]


def test_a_hub_that_may_not_see_pods_says_so_and_needs_no_restart_once_it_may(stack: ClusterStack, account: SmallAccount) -> None:
    account.may(shipped_rules(without=("pods", "list")))
    account.await_right("list", "pods", is_given=False)
    stack.restart_hub()
    answer = start(stack, "user0")
    assert 'add the rule: apiGroups [""], resources ["pods"], verbs ["list"]' in answer.json()["message"]
    assert nothing_is_held(stack)
    account.may(shipped_rules())
    account.await_right("list", "pods", is_given=True)
    wait_for(lambda: start(stack, "user0").status_code in {201, 202}, "a start is taken", 15, 0.5)
    stack.wait_ready("user0", "", 30)


def test_a_hub_comes_up_without_the_api_server_and_recovers_by_itself(stack: ClusterStack, account: SmallAccount) -> None:
    before = stack.launch("user0", gpus=1)
    stack.kill_hub()
    account.line.cut()
    stack.start_hub()
    answer = start(stack, "user1")
    assert (answer.status_code, answer.json()["message"]) == (503, AWAY)
    assert "Retry-After" in answer.headers
    assert [a.id for a in stack.open_allocations()] == [before.id]
    assert stack.server("user0") is not None
    assert "What became of user0 is not known just now" in stack.log(lines=1000)
    account.line.mend()
    wait_for(lambda: start(stack, "user1").status_code in {201, 202}, f"a start is taken again\n{stack.log()}", 20, 0.5)
    stack.wait_ready("user1", "", 30)
    assert before.id in {a.id for a in stack.open_allocations()}
    stack.wait_ready("user0", "", 30)
    assert stack.answers("user0")


def test_a_storage_class_that_is_not_there_is_refused_before_anything_is_held(stack: ClusterStack, account: SmallAccount) -> None:
    account.may([*shipped_rules(), READ_CLASSES])
    account.await_right("get", "storage.k8s.io/storageclasses", is_given=True)
    answer = start(stack, "user3")
    assert answer.status_code == 409
    assert "The storage class nor-such-a-class for home folders does not exist." in answer.json()["message"]
    assert not stack.allocations_of("user3")


def test_with_the_shipped_rights_the_start_ends_with_the_name_of_the_storage_class(stack: ClusterStack, account: SmallAccount) -> None:
    account.await_right("get", "storage.k8s.io/storageclasses", is_given=False)
    assert start(stack, "user2").status_code in {201, 202}
    wait_for(lambda: not stack.open_allocations(), "the start has ended", 40, 0.5)
    sentence = "The storage class no-such-class for home folders does not exist."
    wait_for(lambda: sentence in stack.log(lines=1000), "the hub has said why", 20, 0.5)
    log = stack.log(lines=1000)
    assert 'storageclass.storage.k8s.io "no-such-class" not found' in log, "the cluster's own words are for the administrator"
    wait_for(lambda: not stack.pods(), "the pod is gone", 15)
