"""Volumes for claims: folders of this machine, made on demand, as no provisioner runs."""

import uuid
from typing import TYPE_CHECKING, Any

from tests.cluster.machinery.client import ClusterClient

if TYPE_CHECKING:
    from tests.cluster.machinery.cluster import Cluster

STORAGE_CLASS = "local"
EXPANDABLE_CLASS = "local-expandable"


def storage_class(name: str, *, is_default: bool = False, is_expandable: bool = False) -> dict[str, Any]:
    """Return a class of volumes that are bound once a pod needs them."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": str(is_default).lower()}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
        "allowVolumeExpansion": is_expandable,
    }


def make_storage_classes(cluster: ClusterClient) -> None:
    """Make the default class, and one whose claims may ask for more; its volumes do not grow, only the claim's wish is kept."""
    cluster.apply(storage_class(STORAGE_CLASS, is_default=True), storage_class(EXPANDABLE_CLASS, is_expandable=True))


def make_volumes(cluster: "Cluster", count: int, size: str = "10Gi", class_name: str = STORAGE_CLASS) -> list[str]:
    """Make empty volumes on the node and return their names."""
    names = [f"volume-{uuid.uuid4().hex[:10]}" for _ in range(count)]
    for name in names:
        (cluster.run.volumes / name).mkdir(parents=True)
    cluster.apply(*(volume(cluster, name, size, class_name) for name in names))
    return names


def volume(cluster: "Cluster", name: str, size: str, class_name: str) -> dict[str, Any]:
    """Return one volume that is a folder of the node."""
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [cluster.node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class_name,
            "local": {"path": str(cluster.run.volumes / name)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
        },
    }
