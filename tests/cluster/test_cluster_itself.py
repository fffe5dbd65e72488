"""The test cluster is a real one: these hold before any test of ours means something."""

import json

import pytest

from tests.cluster.machinery.client import ClusterError, wait_for
from tests.cluster.machinery.images import BASE_IMAGE, SINGLEUSER_IMAGE
from tests.cluster.machinery.layout import GPU_COUNT
from tests.cluster.machinery.volumes import make_volumes

RESTRICTED = {
    "pod": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "container": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}


def pod(name, command, image=BASE_IMAGE, gpus=0, restricted=True, **spec):
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": command,
        "resources": {"limits": {"memory": "256Mi", "cpu": "500m", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}},
        **({"securityContext": RESTRICTED["container"]} if restricted else {}),
    }
    security = {"securityContext": RESTRICTED["pod"]} if restricted else {}
    body = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container], **security, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": body}


def run(cluster, namespace, manifest, timeout_seconds=60):
    """Run a pod to its end and return what it printed."""
    cluster.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(manifest))
    name = manifest["metadata"]["name"]
    wait_for(lambda: cluster.pod(name, namespace)["status"].get("phase") in {"Succeeded", "Failed"}, timeout_seconds, f"{name} ended", 0.3)
    return cluster.kubectl("logs", name, "-n", namespace)


def test_node_is_ready_and_offers_its_gpus(cluster):
    assert cluster.is_node_ready(cluster.node)
    assert cluster.allocatable_gpus(cluster.node) == GPU_COUNT


def test_container_sees_just_the_gpus_it_asked_for(cluster, namespace):
    seen = run(cluster, namespace, pod("sees", ["sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES"], gpus=2)).strip().split(",")
    assert len(set(seen)) == 2
    assert all(one.startswith("GPU-") for one in seen)


def test_one_gpu_too_many_stays_pending_with_a_reason(cluster, namespace):
    cluster.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(pod("greedy", ["true"], gpus=GPU_COUNT + 1)))
    condition = wait_for(lambda: cluster.pod("greedy", namespace)["status"]["conditions"][0], 20)
    assert (condition["reason"], condition["status"]) == ("Unschedulable", "False")
    assert "Insufficient nvidia.com/gpu" in condition["message"]


@pytest.mark.faults
def test_unhealthy_gpu_leaves_the_others(cluster):
    cluster.set_unhealthy_gpus(2)
    try:
        wait_for(lambda: cluster.allocatable_gpus() == GPU_COUNT - 1, 60, "one GPU less")
    finally:
        cluster.set_unhealthy_gpus()
    wait_for(lambda: cluster.allocatable_gpus() == GPU_COUNT, 60, "all GPUs again")


@pytest.mark.faults
@pytest.mark.parametrize("part", ["apiserver", "etcd", "containerd", "scheduler", "controller-manager", "kubelet"])
def test_part_is_killed_and_comes_back(cluster, namespace, part):
    cluster.kill(part)
    assert cluster.status()[part] is None
    cluster.restart(part)
    cluster.heal()
    assert run(cluster, namespace, pod("after", ["echo", "alive"])) == "alive\n"


def test_pod_without_limits_of_rights_is_refused_by_pod_security(cluster, namespace):
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted'):
        cluster.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(pod("root", ["true"], restricted=False)))
    assert run(cluster, namespace, pod("humble", ["id", "-u"])) == "1000\n"


def test_single_user_image_has_the_hub_s_version_of_jupyterhub(cluster, namespace):
    from importlib.metadata import version

    assert run(cluster, namespace, pod("version", ["jupyterhub-singleuser", "--version"], image=SINGLEUSER_IMAGE)).strip() == version("jupyterhub")


@pytest.mark.own_cluster
def test_services_have_names_and_volumes_belong_to_their_user(cluster, namespace):
    make_volumes(cluster, 1)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    cluster.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(claim))
    command = ["sh", "-c", 'cd /home && touch mine && stat -c %g . && getent hosts kubernetes.default.svc.cluster.local && python3 -c "$CODE"']
    code = "import socket; socket.create_connection(('kubernetes.default', 443), 5); print('connected')"
    manifest = pod("home", command, volumes=[{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}])
    manifest["spec"]["containers"][0] |= {"volumeMounts": [{"name": "home", "mountPath": "/home"}], "env": [{"name": "CODE", "value": code}]}
    printed = run(cluster, namespace, manifest).splitlines()
    assert (printed[0], printed[1].split()[0], printed[2]) == ("1000", "10.96.0.1", "connected")
