"""What is shipped for Kueue: queues without its traps, rights that suffice and are no more, and the setting everywhere alike."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.domain.catalog import gpu_type_of
from aiplatform_hub.domain.kueue import queue_name, warnings
from aiplatform_hub.domain.pods import GPU_RESOURCE, PRODUCT_LABEL
from aiplatform_hub.hub.helm_values import traits_of_values
from tests.deployment.shipped import DEPLOYMENT, objects_in, of_kind

KUEUE = DEPLOYMENT / "kueue"


def one(kind: str, folder: str) -> dict[str, Any]:
    (found,) = of_kind(objects_in(f"kueue/{folder}"), kind)
    return found


def test_the_shipped_queue_has_none_of_kueues_traps() -> None:
    queue = one("ClusterQueue", "cluster")
    assert warnings(queue["metadata"]["name"], queue["spec"]) == ()
    (group,) = queue["spec"]["resourceGroups"]
    assert group["coveredResources"] == [GPU_RESOURCE], "memory in bytes would outweigh GPUs"


def test_flavours_are_of_nodes_whose_product_the_catalogue_knows() -> None:
    queue, flavour = one("ClusterQueue", "cluster"), one("ResourceFlavor", "cluster")
    assert queue["spec"]["resourceGroups"][0]["flavors"][0]["name"] == flavour["metadata"]["name"]
    assert gpu_type_of(flavour["spec"]["nodeLabels"][PRODUCT_LABEL], load_catalog(()).gpu_types) == "a100"


def test_the_shipped_queues_take_the_people_of_the_shipped_namespace_and_catalogue() -> None:
    (namespace,) = of_kind(objects_in("base/access"), "Namespace")
    selector = one("ClusterQueue", "cluster")["spec"]["namespaceSelector"]["matchLabels"]
    assert selector.items() <= namespace["metadata"]["labels"].items()
    local = one("LocalQueue", "local")
    assert local["spec"]["clusterQueue"] == one("ClusterQueue", "cluster")["metadata"]["name"]
    (personal,) = [project.name for project in load_catalog(()).projects.values() if project.is_personal]
    assert local["metadata"]["name"] == queue_name("{project}", personal)


def test_the_keeper_may_keep_workloads_and_nothing_of_others_queues() -> None:
    rules = [rule for role in of_kind(objects_in("kueue/access"), "Role", "ClusterRole") for rule in role["rules"]]
    rights = {(rule["apiGroups"][0], resource): set(rule["verbs"]) for rule in rules for resource in rule["resources"]}
    assert rights == {
        ("kueue.x-k8s.io", "workloads"): {"list", "create", "patch", "delete"},
        ("kueue.x-k8s.io", "localqueues"): {"get"},
        ("visibility.kueue.x-k8s.io", "localqueues/pendingworkloads"): {"get"},
        ("kueue.x-k8s.io", "resourceflavors"): {"list"},
        ("kueue.x-k8s.io", "clusterqueues"): {"get", "list"},
    }
    subjects = [subject for one in of_kind(objects_in("kueue/access"), "RoleBinding", "ClusterRoleBinding") for subject in one["subjects"]]
    assert {subject["name"] for subject in subjects} == {"keeper"}


@pytest.mark.parametrize("way", ["k8s", "z2jh"])
def test_each_way_to_install_tells_hub_platform_and_keeper(way: str) -> None:
    folder = DEPLOYMENT / way / "overlays" / "kueue"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert {"../../../kueue/access", "../../../kueue/local"} <= set(kustomization["resources"])
    (patch,) = kustomization["patches"]
    assert patch["target"]["name"] == "platform|keeper"
    assert "--queue-backend=kueue" in patch["patch"]
    if way == "k8s":
        assert 'c.AIPlatform.queue_backend = "kueue"' in (folder / "site-kueue.py").read_text()
    else:
        values = yaml.safe_load((folder / "values.yaml").read_text())
        assert traits_of_values(values["custom"]["aiPlatform"]) == {"queue_backend": "kueue"}
