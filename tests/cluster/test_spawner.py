"""The spawner on a real cluster: start, progress, adoption, refusal and end of pods."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from aiplatform_hub.domain.pods import ALLOCATION_LABEL, FINALIZER
from tests.cluster.platform_stack import TRIVIAL_COMMAND, TRIVIAL_IMAGE, ClusterStack
from tests.cluster.stack_fixtures import StackMaker
from tests.support.hub import wait_for

COMMON = {
    "gpus": {"min": 0, "max": 4, "default": 0},
    "memory_gib": {"min": 1, "max": 16, "default": 1},
    "cpu_cores": {"min": 1, "max": 4, "default": 1},
}
TIERS = {
    "default": {
        "display_name": "Default",
        "priority": 10,
        "limits": [
            {"dimension": "gpus", "amount": 4},
            {"dimension": "environments", "amount": 20},
            {"dimension": "memory_bytes", "amount": "64GiB"},
            {"dimension": "storage_bytes", "amount": "10GiB"},
        ],
    }
}
CONFIG = """
c.KubeSpawner.delete_grace_period = 2
c.KubeSpawner.http_timeout = 30
c.KubeSpawner.tolerations = [{"key": "mine", "operator": "Exists"}]
c.AIPlatform.allowed_images = ["localhost/*"]
c.KubeSpawner.profile_list = [{"display_name": "evil", "kubespawner_override": {"image": "evil"}, "profile_options": {
    "image": {"display_name": "x", "unlisted_choice": {"enabled": True, "kubespawner_override": {"image": "{value}"}}}}}]
"""


@pytest.fixture(scope="module")
def stack(make_stack: StackMaker) -> ClusterStack:
    templates = {
        "elsewhere": {"display_name": "Elsewhere", "description": "x", "command": TRIVIAL_COMMAND, "container_image": "docker.io/none:1", **COMMON},
        "no-program": {"display_name": "None", "description": "x", "command": ["/no/such"], "container_image": TRIVIAL_IMAGE, **COMMON},
    }
    return make_stack(extra_config=CONFIG, templates=templates, tiers=TIERS)


@pytest.fixture
def server(stack: ClusterStack) -> Iterator[ClusterStack]:
    yield stack
    for user in ("user0", "user1"):
        for name, value in stack.api("GET", f"users/{user}").json()["servers"].items():
            if not value["stopped"]:
                stack.stop_server(user, name)
    wait_for(lambda: not stack.open_allocations(), "every allocation has ended", 60)


def pods(stack: ClusterStack, cluster: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("-n", stack.namespace, "get", "pods", "-o", "json"))["items"]
    return found


def test_start_with_gpus_answers_and_ends_in_the_ledger(server: ClusterStack, cluster: Any) -> None:
    answer = server.start_server("user0", "two", {"environment_template": "trivial", "gpus": 2})
    assert answer.status_code in {201, 202}, answer.text
    server.wait_ready("user0", "two", 60)
    (allocation,) = server.open_allocations()
    (pod,) = [p for p in pods(server, cluster) if p["metadata"]["labels"].get(ALLOCATION_LABEL) == str(allocation.id)]
    assert pod["metadata"]["finalizers"] == [FINALIZER]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert {"key": "mine", "operator": "Exists"} in pod["spec"]["tolerations"]
    assert pod["metadata"]["name"].endswith(allocation.id.hex[:8])
    assert server.stop_server("user0", "two").status_code in {202, 204}
    wait_for(lambda: not server.open_allocations(), "the allocation has ended")
    ended = server.allocation(allocation.id)
    assert ended.end_cause is not None
    assert ended.started_at is not None
    assert ended.ended_at is not None


def test_a_later_start_has_nothing_of_the_earlier_one(server: ClusterStack, cluster: Any) -> None:
    for gpus in (1, 0):
        server.start_server("user0", "again", {"environment_template": "trivial", "gpus": gpus}).raise_for_status()
        server.wait_ready("user0", "again", 60)
        (allocation,) = server.open_allocations()
        (pod,) = [p for p in pods(server, cluster) if p["metadata"]["labels"].get(ALLOCATION_LABEL) == str(allocation.id)]
        assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == str(gpus)
        node_affinity = pod["spec"]["affinity"]["nodeAffinity"]
        assert ("requiredDuringSchedulingIgnoredDuringExecution" in node_affinity) == bool(gpus)
        assert ("preferredDuringSchedulingIgnoredDuringExecution" in node_affinity) == (not gpus)
        server.stop_server("user0", "again")
        wait_for(lambda: not server.open_allocations(), "the allocation has ended")


@pytest.mark.parametrize("options", [{"profile": "trivial", "gpus": "1"}, {"profile": "trivial", "gpus": "0", "gpu_type": "a100"}])
def test_options_of_the_ecosystem_start_a_template(server: ClusterStack, options: dict[str, Any]) -> None:
    server.start_server("user0", "profile", options).raise_for_status()
    server.wait_ready("user0", "profile", 60)
    (allocation,) = server.open_allocations()
    assert allocation.request.environment_template == "trivial"
    assert allocation.request.gpus == int(options["gpus"])


@pytest.mark.parametrize(
    "options",
    [
        {"image--unlisted-choice": "evil"},
        {"profile": "trivial", "image--unlisted-choice": "evil"},
        {"profile": ""},
        {"profile": None},
        {"profile": False},
        {"profile": ["trivial"]},
        {"profile": {"a": 1}},
        {"profile": "evil"},
        {"profile": "trivial\n"},
        {"profile": "trivial", "environment_template": "trivial"},
        {"profile": "{userid.__class__}"},
        {"profile": "trivial", "memory_gib": "{userid:>2000000}"},
        {"profile": "trivial", "gpus": "1\n"},
        {"profile": "trivial", "gpus": "١"},
        {"profile": "trivial", "gpus": 1.0},
        {"profile": "trivial", "image": "evil"},
    ],
)
def test_no_hole_of_kubespawner_is_reachable(server: ClusterStack, cluster: Any, options: dict[str, Any]) -> None:
    before = {pod["metadata"]["name"] for pod in pods(server, cluster)}
    answer = server.start_server("user1", "hole", options)
    assert answer.status_code == 400, answer.text
    assert {pod["metadata"]["name"] for pod in pods(server, cluster)} <= before


def test_spawn_page_shows_our_escaped_form(server: ClusterStack) -> None:
    page = server.browser("user0").get("/hub/spawn/user0").text
    assert "evil" not in page
    assert "environment_template" in page


def test_stock_form_fields_start_a_template(server: ClusterStack) -> None:
    form = {"profile": "trivial", "profile-option-trivial--gpus": "0", "profile-option-slow--gpus": "3"}
    answer = server.browser("user0").post("/hub/spawn/user0", form)
    assert answer.status_code == 302, answer.text
    server.wait_ready("user0", "", 60)
    (allocation,) = server.open_allocations()
    assert (allocation.request.environment_template, allocation.request.gpus) == ("trivial", 0)


def test_image_that_is_not_allowed_is_refused_before_anything_is_held(server: ClusterStack) -> None:
    answer = server.start_server("user0", "elsewhere", {"environment_template": "elsewhere"})
    assert answer.status_code == 409, answer.text
    assert "docker.io/none:1" in answer.json()["message"]
    assert not server.open_allocations()


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("no-image", "image is not on the node"),
        ("no-program", "does not have the program"),
        ("failing", "ended before it answered"),
    ],
)
def test_failed_start_says_why_and_holds_nothing(server: ClusterStack, template: str, words: str) -> None:
    answer = server.start_server("user0", f"bad-{template}", {"environment_template": template, "gpus": 1}, by="user0")
    wait_for(lambda: not server.open_allocations(), "nothing is held", 60)
    log = server.log(lines=400)
    assert words in answer.text + log
    assert server.allocations_of("user0")[-1].end_cause.value == "start_failed"  # type: ignore[union-attr]


def test_killed_hub_adopts_its_pods(server: ClusterStack) -> None:
    server.start_server("user0", "kept", {"environment_template": "trivial", "gpus": 1}).raise_for_status()
    server.wait_ready("user0", "kept", 60)
    (before,) = server.open_allocations()
    server.restart_hub()
    server.wait_ready("user0", "kept", 60)
    assert [a.id for a in server.open_allocations()] == [before.id]
    assert server.stop_server("user0", "kept").status_code in {202, 204}


def test_start_cut_off_by_a_kill_is_adopted(server: ClusterStack, cluster: Any) -> None:
    server.start_server("user1", "cut", {"environment_template": "slow", "gpus": 1})
    (allocation,) = wait_for(lambda: [a for a in server.open_allocations() if _pod_runs(server, cluster, a)], "its pod runs", 60)
    server.restart_hub()
    server.wait_ready("user1", "cut", 60)
    assert [a.id for a in server.open_allocations()] == [allocation.id]


def test_pod_deleted_behind_our_back_ends_the_server(server: ClusterStack, cluster: Any) -> None:
    server.start_server("user0", "deleted", {"environment_template": "trivial", "gpus": 1}).raise_for_status()
    server.wait_ready("user0", "deleted", 60)
    (allocation,) = server.open_allocations()
    name = next(p["metadata"]["name"] for p in pods(server, cluster) if p["metadata"]["labels"].get(ALLOCATION_LABEL) == str(allocation.id))
    cluster.kubectl("-n", server.namespace, "delete", "pod", name, "--wait=false")
    wait_for(lambda: not server.open_allocations(), "the end is in the ledger", 60)

    def is_over() -> bool:
        found = server.server("user0", "deleted")  # asked for once: it may go between two looks
        return found is None or found["stopped"]

    wait_for(is_over, "the hub knows", 30)


def _pod_runs(stack: ClusterStack, cluster: Any, allocation: Any) -> bool:
    mine = [p for p in pods(stack, cluster) if p["metadata"]["labels"].get(ALLOCATION_LABEL) == str(allocation.id)]
    return any(p["status"]["phase"] == "Running" for p in mine)
