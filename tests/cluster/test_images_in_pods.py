"""The project's images on a real node: they start under Pod Security *restricted*, VS Code works, ranks find each other."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from aiplatform_hub.domain.pods import CONTAINER
from tests.browser.conftest import CHROMIUM_ARGUMENTS
from tests.cluster.machinery.client import wait_for
from tests.cluster.project_images import ensure_images, reference
from tests.support.hub import PASSWORD

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(1500)]
LISTENING = "0A"
TORCHRUN = ["torchrun", "--standalone", "--nproc-per-node=2", "/opt/aiplatform/ddp_check.py", "--backend", "gloo"]


@pytest.fixture(scope="module")
def stack(cluster, make_stack):
    ensure_images(cluster, ("jupyterlab", "code-server"))
    common = {
        "gpus": {"min": 0, "max": 4, "default": 0},
        "memory_gib": {"min": 1, "max": 4, "default": 2},
        "cpu_cores": {"min": 1, "max": 2, "default": 1},
        "command": ["jupyterhub-singleuser"],
    }
    templates = {
        "jupyterlab": {**common, "display_name": "JupyterLab", "description": "A plain JupyterLab", "container_image": "jupyterlab"},
        "code-server": {
            **common,
            "display_name": "VS Code",
            "description": "The editor",
            "container_image": "code-server",
            "default_url": "/vscode/",
        },
    }
    return make_stack(people=("student",), templates=templates)


def run_in(stack, pod, *command):
    return stack.kubectl("exec", pod, "-n", stack.namespace, "-c", CONTAINER, "--", *command, seconds=60)


def launched_pod(stack, template):
    allocation = stack.launch("student", gpus=0, template=template, name=template)
    wait_for(lambda: stack.pods()[allocation.id]["status"]["phase"] == "Running", 60, f"{template} runs")
    return stack.pods()[allocation.id]


def test_jupyterlab_runs_as_user_1000_with_programs_nobody_may_change(stack):
    pod = launched_pod(stack, "jupyterlab")
    name = pod["metadata"]["name"]
    assert pod["spec"]["containers"][0]["image"] == reference("jupyterlab")
    assert run_in(stack, name, "sh", "-c", "id -u; id -g; pwd; command -v python").split() == ["1000", "1000", "/home/jovyan", "/opt/environment/bin/python"]
    assert run_in(stack, name, "cat", "/proc/1/comm").strip() == "dumb-init"
    assert run_in(stack, name, "sh", "-c", "touch ~/own && (touch /opt/environment/x 2>/dev/null || echo refused)").strip() == "refused"


def test_vs_code_opens_in_the_browser_and_listens_on_a_unix_socket_only(stack):
    pod = launched_pod(stack, "code-server")["metadata"]["name"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        page = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(30_000)
        page.goto("/hub/login")
        page.fill("#username_input", "student")
        page.fill("#password_input", PASSWORD)
        page.click("#login_submit")
        page.wait_for_url("**/services/platform/home")
        page.goto("/user/student/code-server/vscode/")
        expect(page.locator(".monaco-workbench")).to_be_visible(timeout=90_000)
        expect(page.get_by_role("menuitem", name="Application Menu").or_(page.get_by_role("tab", name="Explorer")).first).to_be_visible(timeout=60_000)
        sockets = run_in(stack, pod, "cat", "/proc/net/tcp", "/proc/net/tcp6")
        browser.close()
    rows = [line.split() for line in sockets.splitlines() if ":" in line.split()[0]]
    assert {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENING} == {8888}


@pytest.mark.images
@pytest.mark.timeout(4000)
def test_two_ranks_of_torchrun_agree_in_the_multi_gpu_image(cluster, namespace):
    ensure_images(cluster, ("multi-gpu",))
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    container = {
        "name": CONTAINER,
        "image": reference("multi-gpu"),
        "imagePullPolicy": "Never",
        "command": TORCHRUN,
        "resources": {"limits": {"cpu": "2", "memory": "4Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
    }
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ranks", "namespace": namespace}, "spec": spec})
    wait_for(lambda: cluster.pod("ranks", namespace)["status"]["phase"] in {"Succeeded", "Failed"}, 300, "torchrun ends", 1)
    printed = cluster.kubectl("logs", "ranks", "-n", namespace)
    assert cluster.pod("ranks", namespace)["status"]["phase"] == "Succeeded", printed
    print(printed)
    for rank in (0, 1):
        assert f"rank {rank} of 2 on cpu: all-reduce gave 3.0 over gloo" in printed
    assert len({line.rpartition(" ")[2] for line in printed.splitlines() if "gradient" in line}) == 1
