"""The manifests as they are shipped, on a real cluster: a person logs in, starts a session with two GPUs, stops it, and the ledger agrees.

The same with the stock chart where ``AIPLATFORM_TEST_CHART`` names a folder or archive of it and ``helm`` is on the path: no registry of
charts is asked, so it is not part of a plain run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cluster.deployment_images import postgresql_archive
from tests.cluster.machinery.client import wait_for
from tests.cluster.machinery.layout import REPOSITORY, cache_folder
from tests.cluster.machinery.volumes import make_volumes
from tests.cluster.project_images import ensure_images
from tests.cluster.test_deployment_access import names_of_namespaces

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(1500)]  # building images takes its time
NAMESPACE = "jupyterhub"
WORKLOADS = ("statefulset/postgresql", "deployment/proxy", "deployment/hub", "deployment/platform", "deployment/keeper")
PASSWORD = "user-password-of-tests"
SESSIONS = "component=singleuser-server"
CHART = os.environ.get("AIPLATFORM_TEST_CHART")
WAYS = ["plain", "user-namespaces", *(["chart"] if CHART else [])]
WHOLE_CLUSTER = ("clusterrole", "clusterrolebinding", "validatingadmissionpolicy", "validatingadmissionpolicybinding")


@dataclass
class Installation:
    """A platform in the cluster."""

    cluster: Any
    way: str

    @property
    def folder(self) -> Path:
        """The kustomize folder that it came from."""
        return REPOSITORY / "tests" / "cluster" / "deployment" / self.way

    def sessions_in(self, user: str) -> str:
        """Return the namespace of a person's pods."""
        return f"{NAMESPACE}-{user}" if self.way == "user-namespaces" else NAMESPACE

    def apply(self) -> str:
        """Apply the manifests and wait until everything is ready."""
        printed: str = self.cluster.kubectl("apply", "-k", str(self.folder))
        if self.way == "chart":
            values = [f"--values={REPOSITORY / 'helm-values.yaml'}", f"--values={self.folder / 'values.yaml'}"]
            command = ["helm", f"--kubeconfig={self.cluster.kubeconfig}", "upgrade", "--cleanup-on-fail", "--install", "hub", str(CHART)]
            subprocess.run([*command, f"--namespace={NAMESPACE}", *values], check=True, timeout=120)
        for workload in WORKLOADS:
            self.cluster.kubectl("rollout", "status", workload, "-n", NAMESPACE, "--timeout=150s", timeout_seconds=160)
        return printed

    def person(self, name: str) -> Person:
        """Log a person in through the proxy's Service."""
        address = self.cluster.get("service", "proxy-public", "-n", NAMESPACE)["spec"]["clusterIP"]
        return Person(self, f"http://{address}", name)

    def session_pods(self) -> list[dict[str, Any]]:
        """Return people's pods in all namespaces."""
        found: list[dict[str, Any]] = self.cluster.get("pods", "--all-namespaces", "-l", SESSIONS)["items"]
        return [pod for pod in found if pod["metadata"]["namespace"].startswith(NAMESPACE)]


class Person:
    """Somebody with a token, from the outside."""

    def __init__(self, installation: Installation, url: str, name: str) -> None:
        self.installation, self.url, self.name = installation, url, name
        browser = requests.Session()
        browser.get(f"{url}/hub/login", timeout=20)
        form = {"username": name, "password": PASSWORD, "_xsrf": browser.cookies.get("_xsrf", path="/hub/")}
        assert browser.post(f"{url}/hub/login", data=form, allow_redirects=False, timeout=20).status_code == 302
        xsrf = next(cookie.value for cookie in browser.cookies if cookie.name == "_xsrf" and cookie.path == "/hub/")
        made = browser.post(f"{url}/hub/api/users/{name}/tokens", headers={"X-XSRFToken": str(xsrf)}, json={}, timeout=20)
        self.headers = {"Authorization": f"token {made.json()['token']}"}

    def ask(self, method: str, path: str, **body: Any) -> requests.Response:
        """Call the platform's REST API."""
        return requests.request(method, f"{self.url}/services/platform/api/v1/{path}", headers=self.headers, json=body or None, timeout=20)

    def launch(self, **wanted: Any) -> dict[str, Any]:
        """Launch a session and wait until it answers."""
        answer = self.ask("POST", "allocations", environment_template="jupyterlab", if_full="fail", **wanted)
        assert answer.status_code == 201, answer.text
        return self.until(answer.json()["id"], lambda allocation: allocation["is_ready"])

    def until(self, allocation_id: str, condition: Any) -> dict[str, Any]:
        """Wait until an allocation is so."""

        def state() -> dict[str, Any] | None:
            allocation: dict[str, Any] = self.ask("GET", f"allocations/{allocation_id}").json()
            assert allocation["state"] != "ended" or condition(allocation), f"{allocation}"
            return allocation if condition(allocation) else None

        found = wait_for(state, 120, "the allocation")
        assert found is not None
        return found

    def open_server(self, allocation: dict[str, Any]) -> int:
        """Ask the session itself, through the proxy."""
        return requests.get(f"{self.url}{allocation['url']}api/status", headers=self.headers, timeout=20).status_code


@pytest.fixture(scope="module", params=WAYS)
def installation(cluster: Any, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Return an installation from nothing; everything of it is gone afterwards."""
    ensure_images(cluster, ("hub", "proxy", "jupyterlab"))
    cluster.import_image(postgresql_archive(cache_folder() / "images"))
    make_volumes(cluster, 4, "200Gi")
    wait_for(lambda: not any(name.startswith(NAMESPACE) for name in names_of_namespaces(cluster)), 60, "no installation of earlier")
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    subprocess.run([REPOSITORY / "deployment" / "create-secrets", NAMESPACE], check=True, env=environment, timeout=60)
    made = Installation(cluster, str(request.param))
    try:
        made.apply()
        yield made
    finally:
        _remove(made)


def _remove(installation: Installation) -> None:
    """Take it away while its keeper still releases the pods."""
    kubectl = installation.cluster.kubectl
    for pod in installation.session_pods():
        kubectl("delete", "pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--wait=false")
    try:
        wait_for(lambda: not installation.session_pods(), 30, "sessions gone")
    finally:
        for pod in installation.session_pods():
            patch = '{"metadata": {"finalizers": null}}'
            kubectl("patch", "pod", pod["metadata"]["name"], "-n", pod["metadata"]["namespace"], "--type=merge", "-p", patch)
        for kind in WHOLE_CLUSTER:
            kubectl("delete", kind, "-l", "app.kubernetes.io/part-of=aiplatform-hub", "--ignore-not-found")
        kubectl("delete", "namespace", "-l", f"aiplatform-hub/hub-namespace={NAMESPACE}", "--wait=false")
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def seconds(started: str, ended: str) -> float:
    return (instant(ended) - instant(started)).total_seconds()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_a_person_starts_two_gpus_and_the_ledger_agrees(installation: Installation) -> None:
    bea = installation.person("bea")
    allocation = bea.launch(gpus=2, cpu_cores=1)  # with several GPUs they are for it alone, and the machine has two
    assert bea.open_server(allocation) == 200
    (pod,) = installation.session_pods()
    assert pod["metadata"]["namespace"] == installation.sessions_in("bea")
    assert pod["metadata"]["labels"]["aiplatform-hub/allocation"] == allocation["id"]
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    home = installation.cluster.get("pvc", "claim-bea", "-n", installation.sessions_in("bea"))
    assert (home["status"]["phase"], home["spec"]["resources"]["requests"]["storage"]) == ("Bound", "100Gi"), "as large as the tier says"
    (gpus,) = (gpus for gpus in bea.ask("GET", "capacity").json()["gpu_types"] if gpus["total"])
    assert (gpus["total"], gpus["free"]) == (4, 2)
    assert bea.ask("DELETE", f"allocations/{allocation['id']}").status_code == 202
    ended = bea.until(allocation["id"], lambda found: found["state"] == "ended")
    assert instant(ended["started_at"]) == instant(pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"])
    assert ended["end_cause"] == "stopped_by_user"
    used = 2 * seconds(ended["started_at"], ended["ended_at"])
    assert float(bea.ask("GET", "usage").json()["totals"][0]["gpu_seconds"]) == used > 0
    printed = installation.cluster.kubectl("exec", "deploy/keeper", "-n", NAMESPACE, "--", "aiplatform", "verify-ledger", "--data-dir", "/srv/aiplatform")
    assert "verifies" in printed
    wait_for(lambda: not installation.session_pods(), 30, "the pod released by the keeper")


def test_a_session_lives_through_a_new_hub(installation: Installation) -> None:
    cora = installation.person("cora")
    allocation = cora.launch(gpus=1)
    assert cora.open_server(allocation) == 200, "the session asks the hub who it is, and remembers the answer"
    installation.cluster.kubectl("delete", "pod", "-n", NAMESPACE, "-l", "app=jupyterhub,component=hub", "--grace-period=5", "--wait=true")
    assert cora.open_server(allocation) == 200
    installation.cluster.kubectl("rollout", "status", "deployment/hub", "-n", NAMESPACE, "--timeout=120s", timeout_seconds=130)
    wait_for(lambda: cora.open_server(allocation) == 200, 30, "the session through the new hub")
    assert cora.ask("GET", f"allocations/{allocation['id']}").json()["state"] == "active"
    cora.ask("DELETE", f"allocations/{allocation['id']}")
    cora.until(allocation["id"], lambda found: found["state"] == "ended")


def test_applying_again_restarts_nothing(installation: Installation) -> None:
    def pods() -> set[str]:
        return {pod["metadata"]["uid"] for pod in installation.cluster.get("pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=aiplatform-hub")["items"]}

    before = pods()
    installation.apply()
    assert pods() == before
