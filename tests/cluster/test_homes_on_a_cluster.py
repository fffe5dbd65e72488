"""Homes follow the tier on a real API server: the claim asks for more where its class allows it, and the start goes on where not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.machinery.volumes import EXPANDABLE_CLASS, STORAGE_CLASS, make_volumes
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.stack_fixtures import StackMaker
from tests.support.hub import wait_for

pytestmark = pytest.mark.own_cluster  # volumes are folders of its node
GROWS, STAYS, WAITS = "user0", "user1", "user2"
CONFIG = f"""
import jupyterhub.utils
import kubespawner.spawner

async def _hasty(*arguments, timeout, **options):
    return await jupyterhub.utils.exponential_backoff(*arguments, timeout=timeout / 2, timeout_tolerance=0, **options)

kubespawner.spawner.exponential_backoff = _hasty  # its own patience varies by a tenth: here it always ends first

def _home(spawner):
    spawner.start_timeout = 12 if spawner.user.name == {WAITS!r} else 60
    spawner.storage_class = {EXPANDABLE_CLASS!r} if spawner.user.name == {GROWS!r} else {STORAGE_CLASS!r}

c.Spawner.pre_spawn_hook = _home
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.pvc_name_template = "claim-{{username}}"
c.KubeSpawner.volumes = [{{"name": "home", "persistentVolumeClaim": {{"claimName": "{{pvc_name}}"}}}}]
c.KubeSpawner.volume_mounts = [{{"name": "home", "mountPath": "/home/jovyan"}}]
c.KubeSpawner.delete_grace_period = 1
"""


def tier(priority: int, storage: str, **more: Any) -> dict[str, Any]:
    limits = [{"dimension": "gpus", "amount": 4}, {"dimension": "environments", "amount": 5}, {"dimension": "storage_bytes", "amount": storage}]
    return {"display_name": storage, "priority": priority, "limits": limits, **more}


TIERS = {"default": tier(10, "2GiB"), "more": tier(20, "5GiB", groups=["more"]), "most": tier(30, "8GiB", groups=["most"])}


@pytest.fixture(scope="module")
def stack(make_stack: StackMaker, cluster: Any) -> Iterator[ClusterStack]:
    for class_name in (EXPANDABLE_CLASS, STORAGE_CLASS):
        make_volumes(cluster, 1, "10Gi", class_name)
    made = make_stack(extra_config=CONFIG, tiers=TIERS, groups={"more": ["user9"], "most": ["user9"]})
    yield made


def restart_server(stack: ClusterStack, user: str, name: str = "") -> None:
    stack.launch(user, name=name)
    stack.stop_server(user, name)
    wait_for(lambda: not stack.open_allocations(), "the session has ended", 30)


def asked_for(stack: ClusterStack) -> dict[str, str]:
    """Return what each claim asks for, by its class."""
    found = json.loads(stack.kubectl("get", "pvc", "-n", stack.namespace, "-o", "json"))["items"]
    return {item["spec"]["storageClassName"]: item["spec"]["resources"]["requests"]["storage"] for item in found}


def put_into(stack: ClusterStack, group: str, user: str) -> None:
    answer = stack.api("POST", f"groups/{group}/users", json={"users": [user]})
    assert answer.status_code == 200, answer.text


def test_a_home_grows_with_its_tier_and_a_class_that_forbids_it_stops_no_start(stack: ClusterStack) -> None:
    for user in (GROWS, STAYS):
        restart_server(stack, user)
    assert asked_for(stack) == {EXPANDABLE_CLASS: "2Gi", STORAGE_CLASS: "2Gi"}
    for user in (GROWS, STAYS):
        put_into(stack, "more", user)
        restart_server(stack, user)
    assert asked_for(stack) == {EXPANDABLE_CLASS: "5Gi", STORAGE_CLASS: "2Gi"}
    (told,) = [line for line in stack.log(lines=1000).splitlines() if "could not be made" in line]
    assert f"The home of {STAYS} could not be made 5 GiB large; the session starts all the same" in told
    assert "the storageclass that provisions the pvc must support resize" in told


def test_a_tier_that_is_raised_again_counts_for_a_new_server_and_a_new_hub_too_and_never_shrinks_a_home(stack: ClusterStack) -> None:
    put_into(stack, "most", GROWS)
    stack.restart_hub()
    restart_server(stack, GROWS, "another")
    assert asked_for(stack)[EXPANDABLE_CLASS] == "8Gi"
    for group in ("more", "most"):
        assert stack.api("DELETE", f"groups/{group}/users", json={"users": [GROWS]}).status_code == 200
    restart_server(stack, GROWS)
    assert asked_for(stack)[EXPANDABLE_CLASS] == "8Gi"


def test_a_home_that_gets_no_volume_ends_the_start_with_the_reason_and_not_with_a_mere_timeout(stack: ClusterStack) -> None:
    assert stack.start_server(WAITS, "", {"environment_template": "trivial"}).status_code in {202, 500}
    wait_for(lambda: not stack.open_allocations(), "the start has ended", 30, 0.5)
    log = stack.log(lines=200)
    assert "SpawnException(reason=start_failed): The storage of your home folder is not ready." in log
    assert "didn't find available persistent volumes to bind" in log
