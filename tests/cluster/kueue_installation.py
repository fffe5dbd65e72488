"""What an installation needs whose GPUs a real Kueue gives out: the shipped queues, and the rights that the manifests give the keeper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from aiplatform_hub.clients.kubernetes.workloads import SELECTOR
from tests.cluster.small_account import SmallAccount

DEPLOYMENT = Path(__file__).parents[2] / "deployment"
WORKLOADS = "workloads.v1beta2.kueue.x-k8s.io"


@contextmanager
def keeper_account(cluster: Any, name: str, folder: Path) -> Iterator[SmallAccount]:
    """Make an account with the rights that the manifests give the keeper, with Kueue."""
    made = SmallAccount(cluster, name, folder / "kubeconfig")
    rules = [
        rule
        for file in ("base/access/keeper.yaml", "base/access/nodes.yaml", "kueue/access/access.yaml")
        for one in yaml.safe_load_all((DEPLOYMENT / file).read_text())
        if one and one["kind"] in {"Role", "ClusterRole"}
        for rule in one["rules"]
    ]
    made.may(rules)
    try:
        yield made
    finally:
        made.remove()


@contextmanager
def shipped_queues(cluster: Any, namespace: str) -> Iterator[None]:
    """Make the shipped flavour and queues, the LocalQueue in a namespace of ours; at the end nothing may be admitted any more."""
    cluster.kubectl("label", "namespace", namespace, "aiplatform-hub/people=true")
    found = [one for file in ("cluster", "local") for one in yaml.safe_load_all((DEPLOYMENT / "kueue" / file / "queues.yaml").read_text())]
    for one in found:
        if one["kind"] == "LocalQueue":
            one["metadata"]["namespace"] = namespace
        cluster.apply(one)  # in order: each names the one before
    try:
        yield
    finally:
        for one in reversed(found):
            scope = ("-n", namespace) if "namespace" in one["metadata"] else ()
            cluster.kubectl("delete", one["kind"], one["metadata"]["name"], *scope, "--timeout=50s")


def workloads(cluster: Any, namespace: str) -> dict[UUID, dict[str, Any]]:
    """Return our Workloads by allocation, as Kueue has them."""
    items = cluster.get(WORKLOADS, "-n", namespace, "-l", SELECTOR)["items"]
    return {UUID(item["metadata"]["labels"]["aiplatform-hub/allocation"]): item for item in items}
