"""What the manifests let whom do, asked of a real API server: rights, and what admission refuses whoever asks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.machinery.client import ClusterError, wait_for

pytestmark = pytest.mark.own_cluster  # it makes and deletes the namespace of the manifests, and what they have for the whole cluster
DEPLOYMENT = Path(__file__).parents[2] / "deployment"
NAMESPACE = "jupyterhub"
HUB, KEEPER, PLATFORM = (f"system:serviceaccount:{NAMESPACE}:{name}" for name in ("hub", "keeper", "default"))
KINDS = ("Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
KINDS_OF_POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
ALLOCATION = {"aiplatform-hub/allocation": "0b54ef2e-6b63-4f8e-8f5b-1d9b6a2c7d11"}
SESSION = {"component": "singleuser-server", **ALLOCATION}
ADMIN = ""


def rendered(cluster: Any, folder: str) -> list[dict[str, Any]]:
    """Return what a kustomize folder renders to."""
    return [found for found in yaml.safe_load_all(cluster.kubectl("kustomize", str(DEPLOYMENT / folder))) if found]


def names_of_namespaces(cluster: Any) -> set[str]:
    """Return the names of all namespaces."""
    return {found["metadata"]["name"] for found in cluster.get("namespaces")["items"]}


@pytest.fixture(scope="module")
def shipped(cluster: Any) -> Iterator[Any]:
    """Return the cluster with rights and policies as shipped, those of people's own namespaces too."""
    wait_for(lambda: NAMESPACE not in names_of_namespaces(cluster), 60, "no installation of earlier")
    objects = [found for found in rendered(cluster, "k8s/overlays/user-namespaces") if found["kind"] in (*KINDS, *KINDS_OF_POLICIES)]
    cluster.apply(*objects)
    yield cluster
    for found in objects:
        if "namespace" not in found["metadata"] and found["kind"] != "Namespace":
            cluster.kubectl("delete", found["kind"], found["metadata"]["name"], "--ignore-not-found", "--wait=false")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=50s")


@pytest.fixture
def without_overlay(cluster: Any, shipped: Any) -> Iterator[Any]:
    """Return the cluster without the rights of the overlay for people's own namespaces."""
    overlay = [found for found in rendered(cluster, "k8s/overlays/user-namespaces") if found["metadata"]["name"].startswith("aiplatform-user-namespaces-")]
    for found in overlay:
        cluster.kubectl("delete", found["kind"], found["metadata"]["name"])
    wait_for(lambda: not any(may(cluster, [(HUB, "create", "", "namespaces", ""), (KEEPER, "patch", "", "pods", "default")])), 10, "rights taken away")
    yield shipped
    cluster.apply(*overlay)


def may(cluster: Any, questions: list[tuple[str, str, str, str, str]]) -> list[bool]:
    """Answer (account, verb, group, resource[/subresource], namespace) questions in one call."""
    items = []
    for account, verb, group, resource, namespace in questions:
        name, _, subresource = resource.partition("/")
        attributes = {"verb": verb, "group": group, "resource": name, "subresource": subresource, "namespace": namespace}
        groups = ["system:authenticated", "system:serviceaccounts"]
        spec = {"user": account, "groups": groups, "resourceAttributes": attributes}
        items.append({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    given = "\n---\n".join(json.dumps(item) for item in items)
    printed = cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}{'\\n'}", given=given)
    return [line == "true" for line in printed.split()]


IN_HUB, LEASES = NAMESPACE, "kube-node-lease"
POD_WATCH, POD_MAKE = ("get", "list", "watch"), ("create", "delete")
GRANTED = {
    HUB: {
        ("", "pods", IN_HUB): {*POD_WATCH, *POD_MAKE},
        ("", "persistentvolumeclaims", IN_HUB): {*POD_WATCH, *POD_MAKE, "patch"},
        ("", "events", IN_HUB): set(POD_WATCH),
        ("", "pods/log", IN_HUB): {"get"},
        ("", "nodes", ""): set(POD_WATCH),
        ("coordination.k8s.io", "leases", LEASES): {"get", "list"},
    },
    KEEPER: {
        ("", "pods", IN_HUB): {*POD_WATCH, "patch", "delete"},
        ("", "pods/exec", IN_HUB): {"get", "create"},
        ("", "namespaces", IN_HUB): {"get"},
        ("", "nodes", ""): set(POD_WATCH),
        ("coordination.k8s.io", "leases", LEASES): {"get", "list"},
    },
    PLATFORM: {},
}
ASKED_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
ASKED = sorted(
    {
        *(what for table in GRANTED.values() for what in table),
        *(("", resource, IN_HUB) for resource in ("secrets", "services", "configmaps", "serviceaccounts", "pods/ephemeralcontainers", "serviceaccounts/token")),
        *(("", resource, "default") for resource in ("pods", "pods/exec", "secrets", "persistentvolumeclaims")),
        ("", "namespaces", ""),
        ("apps", "deployments", IN_HUB),
        ("networking.k8s.io", "networkpolicies", IN_HUB),
        ("rbac.authorization.k8s.io", "roles", IN_HUB),
        ("rbac.authorization.k8s.io", "clusterroles", ""),
        ("coordination.k8s.io", "leases", "default"),
    }
)


@pytest.mark.parametrize("account", [HUB, KEEPER, PLATFORM])
def test_an_account_has_these_rights_and_no_others(without_overlay: Any, account: str) -> None:
    questions = [(account, verb, group, resource, where) for group, resource, where in ASKED for verb in ASKED_VERBS]
    answers = may(without_overlay, questions)
    allowed: dict[tuple[str, str, str], set[str]] = {}
    for (_, verb, group, resource, where), is_allowed in zip(questions, answers, strict=True):
        if is_allowed:
            allowed.setdefault((group, resource, where), set()).add(verb)
    assert allowed == GRANTED[account]


def test_namespaces_for_each_person_bring_their_rights_in_an_overlay(shipped: Any) -> None:
    asked = [(HUB, "create", "", "namespaces", ""), (HUB, "create", "", "pods", "anywhere"), (KEEPER, "patch", "", "pods", "anywhere")]
    refused = [(HUB, "get", "", "secrets", "anywhere"), (KEEPER, "create", "", "pods", "anywhere"), (KEEPER, "create", "", "namespaces", "")]
    wait_for(lambda: all(may(shipped, asked)), 10, "rights of the overlay")
    assert not any(may(shipped, refused))


def pod(*, labels: dict[str, str] | None = None, resources: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a pod that Pod Security's *restricted* accepts."""
    context = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {
        "name": "notebook",
        "image": "localhost/pause:test",
        "resources": {"limits": resources or {}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "by-hand", "labels": labels or {}},
        "spec": {"restartPolicy": "Never", "securityContext": context, "automountServiceAccountToken": False, "containers": [container], **spec},
    }


def with_container_of(made: dict[str, Any], kind: str, resources: dict[str, str], env: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Return the pod with one more container of a kind."""
    more = {**made["spec"]["containers"][0], "name": "more", "resources": {"limits": resources}, "env": env or []}
    made["spec"][kind] = [*made["spec"].get(kind, []), more]
    return made


ONE = {"nvidia.com/gpu": "1"}
ONLY_THE_HUB, NEEDS_ALLOCATION = "Only the hub starts people's sessions here", "A pod with a GPU needs an allocation here"
CREATED = {
    "the hub's session": (HUB, pod(labels=SESSION, resources=ONE), None),
    "the hub's session without a GPU": (HUB, pod(labels=SESSION, resources={"nvidia.com/gpu": "0"}), None),
    "an administrator's pod that has nothing to do with us": (ADMIN, pod(), None),
    "a pod that says it wants no GPU": (ADMIN, pod(resources={"nvidia.com/gpu": "0"}), None),
    "a session made by hand": (ADMIN, pod(labels=SESSION, resources=ONE), ONLY_THE_HUB),
    "a session's component alone": (ADMIN, pod(labels={"component": "singleuser-server"}), ONLY_THE_HUB),
    "an allocation's label alone": (ADMIN, pod(labels=ALLOCATION, resources=ONE), ONLY_THE_HUB),
    "another label of ours": (ADMIN, pod(labels={"aiplatform-hub/user-id": "1"}), ONLY_THE_HUB),
    "a GPU without an allocation": (ADMIN, pod(resources=ONE), NEEDS_ALLOCATION),
    "the hub's GPU without an allocation": (HUB, pod(labels={"component": "singleuser-server"}, resources=ONE), NEEDS_ALLOCATION),
    "an AMD GPU": (ADMIN, pod(resources={"amd.com/gpu": "1"}), NEEDS_ALLOCATION),
    "a slice of a GPU": (ADMIN, pod(resources={"nvidia.com/mig-1g.10gb": "1"}), NEEDS_ALLOCATION),
    "a shared GPU": (ADMIN, pod(resources={"nvidia.com/gpu.shared": "1"}), NEEDS_ALLOCATION),
    "an init container's GPU": (ADMIN, with_container_of(pod(), "initContainers", ONE), NEEDS_ALLOCATION),
    "a second container's GPU": (ADMIN, with_container_of(pod(), "containers", ONE), NEEDS_ALLOCATION),
    "a GPU by environment": (ADMIN, with_container_of(pod(), "containers", {}, [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]), NEEDS_ALLOCATION),
    "no GPU by environment": (ADMIN, with_container_of(pod(), "containers", {}, [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]), None),
    "a claimed device": (ADMIN, pod(resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}]), NEEDS_ALLOCATION),
}


def create(cluster: Any, account: str, made: dict[str, Any], namespace: str = NAMESPACE) -> str | None:
    """Ask the API server to create a pod, without keeping it; return why it refused."""
    return attempt(cluster, account, "create", "--dry-run=server", "-n", namespace, "-f", "-", given=json.dumps(made))


def attempt(cluster: Any, account: str, *arguments: str, given: str | None = None) -> str | None:
    """Run kubectl as an account; return why it was refused."""
    try:
        cluster.kubectl(*([f"--as={account}"] if account else []), *arguments, given=given)
    except ClusterError as error:
        return str(error)
    return None


@pytest.mark.parametrize("case", CREATED)
def test_a_pod_is_admitted_or_refused(shipped: Any, case: str) -> None:
    account, made, refusal = CREATED[case]
    answer = create(shipped, account, made)
    assert answer is None if refusal is None else refusal in (answer or "")


def test_a_job_cannot_make_a_session_either(shipped: Any) -> None:
    controller = "system:serviceaccount:kube-system:job-controller"
    assert ONLY_THE_HUB in (create(shipped, controller, pod(labels=SESSION)) or "")


def test_other_namespaces_are_left_alone(shipped: Any) -> None:
    assert create(shipped, ADMIN, pod(labels=SESSION, resources=ONE), "default") is None


@pytest.fixture
def running(shipped: Any) -> Iterator[Any]:
    """Return the cluster with one session of the hub and one pod of an administrator in it, neither scheduled."""
    gates: dict[str, Any] = {"schedulingGates": [{"name": "example.org/never"}]}
    shipped.kubectl(f"--as={HUB}", "create", "-n", NAMESPACE, "-f", "-", given=json.dumps(pod(labels=SESSION, **gates)))
    stranger = pod(**gates)
    stranger["metadata"]["name"] = "stranger"
    shipped.kubectl("create", "-n", NAMESPACE, "-f", "-", given=json.dumps(stranger))
    yield shipped
    shipped.kubectl("delete", "pod", "by-hand", "stranger", "-n", NAMESPACE, "--grace-period=0", "--force", "--wait=false")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("by-hand", "aiplatform-hub/allocation=another"),
        ("by-hand", "aiplatform-hub/allocation-"),
        ("by-hand", "component-"),
        ("by-hand", "aiplatform-hub/spawner=7"),
        ("stranger", "component=singleuser-server"),
        ("stranger", "aiplatform-hub/allocation=mine"),
    ],
)
def test_labels_of_a_session_never_change(running: Any, name: str, change: str) -> None:
    answer = attempt(running, ADMIN, "label", "pod", name, "-n", NAMESPACE, "--overwrite", change)
    assert "The labels that tie a pod to its allocation never change" in (answer or "")


def test_other_changes_of_a_session_are_allowed(running: Any) -> None:
    patch = '{"metadata": {"labels": {"team": "a"}, "finalizers": ["aiplatform-hub/usage-recorded"]}}'
    assert attempt(running, KEEPER, "patch", "pod", "by-hand", "-n", NAMESPACE, "--type=merge", "-p", patch) is None
    assert attempt(running, KEEPER, "patch", "pod", "by-hand", "-n", NAMESPACE, "--type=merge", "-p", '{"metadata": {"finalizers": null}}') is None


def test_an_ephemeral_container_cannot_bring_a_gpu(running: Any) -> None:
    container = {"name": "debug", "image": "localhost/pause:test", "resources": {"limits": ONE}}
    patch = json.dumps({"spec": {"ephemeralContainers": [container]}})
    answer = attempt(running, ADMIN, "patch", "pod", "stranger", "-n", NAMESPACE, "--subresource=ephemeralcontainers", "-p", patch)
    assert "Forbidden: cannot be set for an Ephemeral Container" in (answer or "")


def test_a_persons_own_namespace_takes_pods_of_its_hub_only(shipped: Any, namespace: str) -> None:
    shipped.kubectl("label", "namespace", namespace, "aiplatform-hub/people=true", f"aiplatform-hub/hub-namespace={NAMESPACE}")
    assert create(shipped, HUB, pod(labels=SESSION, resources=ONE), namespace) is None
    assert ONLY_THE_HUB in (create(shipped, ADMIN, pod(labels=SESSION), namespace) or "")
    assert NEEDS_ALLOCATION in (create(shipped, ADMIN, pod(resources=ONE), namespace) or "")


@pytest.mark.parametrize(
    "folder", ["k8s", "k8s/overlays/k3s", "k8s/overlays/gpu-operator", "k8s/overlays/user-namespaces", "shared-gpus", "z2jh", "z2jh/overlays/user-namespaces"]
)
def test_the_api_server_accepts_what_is_shipped(shipped: Any, folder: str) -> None:
    printed = shipped.kubectl("apply", "--dry-run=server", "-k", str(DEPLOYMENT / folder))
    assert len(printed.splitlines()) == len(rendered(shipped, folder))


def test_the_api_server_accepts_what_the_chart_renders(shipped: Any) -> None:
    shipped.kubectl("apply", "--dry-run=server", "-n", NAMESPACE, "-f", str(DEPLOYMENT.parent / "tests" / "data" / "helm-rendered.yaml"))


def test_the_policy_has_no_type_error(shipped: Any) -> None:
    status = shipped.get("validatingadmissionpolicy", "aiplatform-sessions")["status"]
    assert not (status.get("typeChecking") or {}).get("expressionWarnings")
