"""A real Kueue: its manager as a pod, with the manifests of its own release; built only when a test asks for it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.machinery.archives import Image
from tests.cluster.machinery.build import KUEUE, build
from tests.cluster.machinery.client import wait_for
from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.images import archive_of, file_layer
from tests.cluster.machinery.layout import cache_folder
from tests.cluster.machinery.toolchain import find_go

NAMESPACE, DEPLOYMENT = "kueue-system", "kueue-controller-manager"
IMAGE = "localhost/aiplatform-kueue:test"
OWN_WEBHOOKS = ("clusterqueue", "cohort", "resourceflavor", "workload")
"""Kinds whose webhooks are kept: those of pods and Deployments would keep every pod of the cluster from starting while the manager is dead."""
CONFIGURATION = {
    "apiVersion": "config.kueue.x-k8s.io/v1beta2",
    "kind": "Configuration",
    "health": {"healthProbeBindAddress": ":8081"},
    "webhook": {"port": 9443},
    "leaderElection": {"leaderElect": False},
    "integrations": {"frameworks": ["batch/job"]},
}


def build_kueue(say: Callable[[str], None] = print) -> Path:
    """Build the manager unless the cache has it, and return the archive of its image."""
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    layer = file_layer(folder, "kueue", build(KUEUE, cache_folder(), say) / "kueue", "manager")
    return archive_of(Image(IMAGE, [layer], {"Entrypoint": ["/manager"], "User": "65532:65532"}), folder)


def start_kueue(cluster: Cluster, say: Callable[[str], None] = print) -> None:
    """Install Kueue and wait until it admits."""
    archive = build_kueue(say)
    if IMAGE not in cluster.ctr("images", "ls", "--quiet").split():
        cluster.import_image(archive)
    cluster.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests(cluster)})
    )
    set_manager(cluster, is_there=True)


def set_manager(cluster: Cluster, *, is_there: bool) -> None:
    """Kill the manager and keep it away, or let it come back; return when its webhook is so."""
    cluster.kubectl("scale", "deployment", DEPLOYMENT, "-n", NAMESPACE, f"--replicas={int(is_there)}")
    if is_there:
        wait_for(lambda: cluster.kubectl("get", "--raw", "/apis/visibility.kueue.x-k8s.io/v1beta2"), 240, "Kueue's visibility API", 0.3)
        wait_for(lambda: cluster.get("workloads.v1beta2.kueue.x-k8s.io", "-A"), 120, "Kueue reads Workloads", 0.3)
    else:
        cluster.kubectl("delete", "pods", "-n", NAMESPACE, "--all", "--grace-period=0", "--force", "--wait=false")
        wait_for(lambda: not cluster.get("pods", "-n", NAMESPACE)["items"], 30, "the manager is gone")


def manifests(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the release's own manifests, changed for an image that is never pulled and a small machine."""
    source = module_folder(find_go(cache_folder()))
    items = [item for item in yaml.safe_load_all(cluster.kubectl("kustomize", str(source / "config" / "default"))) if item]
    for item in items:
        if item["kind"] == "Deployment":
            _change_manager(item["spec"]["template"]["spec"])
        elif item["kind"] == "ConfigMap" and "controller_manager_config.yaml" in item.get("data", {}):
            item["data"]["controller_manager_config.yaml"] = yaml.safe_dump(CONFIGURATION)
        elif item["kind"] in {"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"}:
            item["webhooks"] = [hook for hook in item["webhooks"] if any(kind in hook["name"] for kind in OWN_WEBHOOKS)]
    return items


def _change_manager(pod: dict[str, Any]) -> None:
    [manager] = pod["containers"]
    manager |= {"image": IMAGE, "imagePullPolicy": "Never", "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}}}
    manager["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}
    manager["volumeMounts"] = [*manager.get("volumeMounts", ()), {"name": "scratch", "mountPath": "/tmp"}]
    pod["volumes"] = [*pod.get("volumes", ()), {"name": "scratch", "emptyDir": {}}]
    pod["terminationGracePeriodSeconds"] = 1


def module_folder(go: str) -> Path:
    """Return where the module's source is, with its manifests."""
    command = [go, "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kueue"]
    return Path(subprocess.run(command, cwd=KUEUE.path, check=True, capture_output=True, text=True, timeout=120).stdout.strip())
