"""Somebody is deleted from a real hub that has just the shipped rights: the keeper deletes what they leave, and only that."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from aiplatform_hub.hub.namespaces import labels
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.small_account import SHIPPED, SmallAccount, shipped_rules
from tests.cluster.stack_fixtures import StackMaker
from tests.support.hub import wait_for

OVERLAY = SHIPPED.parents[2] / "user-namespaces" / "access.yaml"
PREFIX = f"departed{os.getpid()}-"
CONFIG = f"""
c.KubeSpawner.user_namespace_template = "{PREFIX}{{username}}"
c.KubeSpawner.delete_grace_period = 1
"""


@pytest.fixture(scope="module")
def account(cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallAccount]:
    made = SmallAccount(cluster, f"hub-{PREFIX}0", tmp_path_factory.mktemp("hub") / "kubeconfig")
    made.may([*shipped_rules(), *shipped_rules(file=OVERLAY, role="ClusterRole")])
    made.await_right("create", "namespaces", is_given=True)
    yield made
    made.remove()


@pytest.fixture(scope="module")
def stack(make_stack: StackMaker, cluster: Any, account: SmallAccount) -> Iterator[ClusterStack]:
    yield make_stack(is_namespace_per_user=True, extra_config=CONFIG, kubeconfigs={"hub": account.kubeconfig})
    for name in namespaces(cluster):
        for pod in cluster.get("pods", "-n", name)["items"]:
            cluster.kubectl("patch", "pod", pod["metadata"]["name"], "-n", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def namespaces(cluster: Any) -> dict[str, dict[str, Any]]:
    """Return the namespaces of this test's people that nobody deletes."""
    found = cluster.get("namespaces", "-l", "aiplatform-hub/owner")["items"]
    return {item["metadata"]["name"]: item for item in found if item["metadata"]["name"].startswith(PREFIX) and "deletionTimestamp" not in item["metadata"]}


def make_namespace(cluster: Any, name: str, owner: int, hub_namespace: str) -> None:
    metadata = {"name": f"{PREFIX}{name}", "labels": labels(owner, hub_namespace)}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def forget(stack: ClusterStack, user: str) -> None:
    """Let the hub forget a person whose session runs, as if its database were an older copy."""
    stack.kill_hub()
    with closing(sqlite3.connect(stack.folder / "jupyterhub.sqlite")) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        assert database.execute("DELETE FROM users WHERE name = ?", (user,)).rowcount == 1
    stack.start_hub()


def look_again(stack: ClusterStack) -> None:
    """Start the keeper anew: it looks at namespaces first thing, and then every five minutes."""
    stack.kill("keeper")
    stack.start_program("keeper")


def test_the_namespace_of_the_departed_goes_and_that_of_an_open_session_stays(stack: ClusterStack, cluster: Any) -> None:
    people = ("user0", "user1", "user2")
    assert stack.api("POST", "users/late").status_code == 201  # whose id is after theirs
    for user in people:
        assert stack.start_server(user, "", {"environment_template": "trivial"}).status_code in {201, 202}
    for user in people:
        stack.wait_ready(user, "", 40)
    for user in people[:2]:
        stack.stop_server(user)
    (left,) = wait_for(lambda: len(found := stack.open_allocations()) == 1 and found, "two sessions have ended", 30)
    assert stack.api("DELETE", "users/user0").status_code == 204
    assert f"The hub may not delete the namespace {PREFIX}user0 of user0; the keeper will" in stack.log(lines=1000)
    make_namespace(cluster, "not-yet", 99998, stack.namespace)
    make_namespace(cluster, "of-another-hub", 99999, "another-hub")
    look_again(stack)
    stay = {f"{PREFIX}{name}" for name in ("user1", "user2", "not-yet", "of-another-hub")}
    wait_for(lambda: set(namespaces(cluster)) == stay, lambda: f"just that of the departed is deleted\n{stack.log('keeper')}", 30)
    assert stack.log("keeper", 1000).count("belongs to nobody whom the hub knows: deleting it") == 1

    forget(stack, "user2")  # and at its start the hub makes a new person of that name
    look_again(stack)
    wait_for(lambda: "Keeping" in stack.log("keeper"), "the keeper looks again", 30)
    assert [a.id for a in stack.open_allocations()] == [left.id]
    assert set(namespaces(cluster)) == stay
