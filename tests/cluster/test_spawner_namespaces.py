"""A namespace for each person on a real cluster; the manifests that we compare are accepted under Pod Security restricted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from aiplatform_hub import __version__
from tests.cluster.stack_fixtures import StackMaker
from tests.cluster.test_spawner import TIERS
from tests.support.hub import wait_for

GOLDEN = Path(__file__).parents[1] / "data" / "pods"


def test_person_has_a_namespace_with_quota_limits_and_rules(make_stack: StackMaker, cluster: Any) -> None:
    stack = make_stack(is_namespace_per_user=True, tiers=TIERS, extra_config=f'c.KubeSpawner.user_namespace_template = "of{os.getpid()}-{{username}}"')
    stack.start_server("user0", "mine", {"environment_template": "trivial", "gpus": 1}).raise_for_status()
    stack.wait_ready("user0", "mine", 60)
    (allocation,) = stack.open_allocations()
    found = json.loads(
        cluster.kubectl("get", "namespaces", "-l", f"aiplatform-hub/owner={allocation.user_id},aiplatform-hub/hub-namespace={stack.namespace}", "-o", "json")
    )
    (namespace,) = (item["metadata"] for item in found["items"])
    try:
        assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        quota = json.loads(cluster.kubectl("-n", namespace["name"], "get", "resourcequota", "aiplatform", "-o", "json"))
        assert quota["spec"]["hard"]["requests.nvidia.com/gpu"] == "4"
        assert json.loads(cluster.kubectl("-n", namespace["name"], "get", "limitrange", "aiplatform", "-o", "json"))["spec"]["limits"]
        assert json.loads(cluster.kubectl("-n", namespace["name"], "get", "networkpolicy", "singleuser", "-o", "json"))["spec"]["egress"]
        stack.stop_server("user0", "mine")
        wait_for(lambda: not stack.open_allocations(), "the allocation has ended")
    finally:
        cluster.kubectl("delete", "namespace", namespace["name"], "--wait=false")


@pytest.mark.parametrize("name", [path.stem for path in sorted(GOLDEN.glob("*.json"))])
def test_the_api_takes_our_manifests_under_pod_security_restricted(cluster: Any, tmp_path: Path, name: str) -> None:
    namespace = "manifests-restricted"
    cluster.kubectl("apply", "-f", str(_namespace(tmp_path, namespace)))
    pod = (GOLDEN / f"{name}.json").read_text().replace("VERSION", __version__).replace("{pvc_name}", "home")
    file = tmp_path / "pod.json"
    file.write_text(pod)
    taken = json.loads(cluster.kubectl("-n", namespace, "create", "--dry-run=server", "-o", "json", "-f", str(file)))
    has_whole_cpus = name == "two-gpus"
    assert taken["status"]["qosClass"] == ("Guaranteed" if has_whole_cpus else "Burstable")


def _namespace(folder: Path, name: str) -> Path:
    file = folder / "namespace.json"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
    return file
