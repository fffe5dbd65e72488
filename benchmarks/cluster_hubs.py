"""Two real hubs on one cluster, ours and one with plain KubeSpawner, that start the same pod."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Thread, local
from typing import Any

import requests
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.kwok import make_nodes, start_kwok
from tests.cluster.machinery.layout import RunFolder
from tests.cluster.platform_stack import TRIVIAL_COMMAND, TRIVIAL_IMAGE, ClusterStack
from tests.support.hub import ADMIN, wait_for

FAKE_PRODUCT, FAKE_TYPE = "NVIDIA-H100-80GB-HBM3", "h100"
"""What KWOK's nodes have: another type than the real node's."""
POD_PORT = 8888
USER_TAINTS = ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
BOTH = """
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 110, "slow_stop_timeout": 110}
c.JupyterHub.init_spawners_timeout = 110
c.KubeSpawner.start_timeout = 110
c.JupyterHub.last_activity_interval = 300
c.KubeSpawner.delete_grace_period = 10
"""
"""What both hubs are told: to answer once a server is ready or gone, so that no client need ask again and again."""
ON_FAKE_NODES = """
c.KubeSpawner.node_selector = {"type": "kwok"}
c.KubeSpawner.tolerations = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
"""


class StockHub(ClusterStack):
    """The same hub and proxy with plain KubeSpawner, told to make the pod that our chain makes, and none of our package."""

    stock_gpus = 1

    def prepare(self) -> None:
        (self.folder / "jupyterhub_config.py").write_text(self._config())

    def _config(self) -> str:
        ours = super()._config()
        head = [line for line in ours[: ours.index("\ninstall(")].splitlines() if "aiplatform_hub" not in line and "c.AIPlatform" not in line]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        variables = {"AIPLATFORM_ALLOCATION_ID": "0" * 36, "AIPLATFORM_GPUS": str(self.stock_gpus), "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **threads}
        labels = {
            "aiplatform-hub/allocation": "0" * 36,
            "aiplatform-hub/spawner": "2",
            "aiplatform-hub/user-id": "9",
            "aiplatform-hub/environment-template": "trivial",
            "aiplatform-hub/project": "personal",
        }
        return "\n".join(head) + textwrap.dedent(f"""
            c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
            c.JupyterHub.allow_named_servers = True
            c.JupyterHub.cleanup_servers = False
            c.ConfigurableHTTPProxy.should_start = False
            c.ConfigurableHTTPProxy.auth_token = {self.proxy_token!r}
            c.KubeSpawner.namespace = {self.namespace!r}
            c.KubeSpawner.image = {TRIVIAL_IMAGE!r}
            c.KubeSpawner.cmd = {TRIVIAL_COMMAND!r}
            c.KubeSpawner.default_url = "/lab"
            c.KubeSpawner.uid = c.KubeSpawner.gid = c.KubeSpawner.fs_gid = 1000
            c.KubeSpawner.mem_limit = c.KubeSpawner.mem_guarantee = "1G"
            c.KubeSpawner.cpu_limit, c.KubeSpawner.cpu_guarantee = 1, 0.125
            c.KubeSpawner.extra_resource_limits = c.KubeSpawner.extra_resource_guarantees = {{"nvidia.com/gpu": "{self.stock_gpus}"}}
            c.KubeSpawner.volumes = [{{"name": "aiplatform-shm", "emptyDir": {{"medium": "Memory", "sizeLimit": "512Mi"}}}}]
            c.KubeSpawner.volume_mounts = [{{"name": "aiplatform-shm", "mountPath": "/dev/shm"}}]
            c.KubeSpawner.container_security_context = {{
                "runAsNonRoot": True, "capabilities": {{"drop": ["ALL"]}}, "seccompProfile": {{"type": "RuntimeDefault"}}
            }}
            c.KubeSpawner.pod_security_context = {{"runAsNonRoot": True, "seccompProfile": {{"type": "RuntimeDefault"}}}}
            c.KubeSpawner.extra_pod_config = {{"restartPolicy": "Never", "terminationGracePeriodSeconds": 10, "enableServiceLinks": False}}
            c.KubeSpawner.tolerations = [
                *c.KubeSpawner.get("tolerations", []),
                *({{"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}} for key in {USER_TAINTS!r}),
                {{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}},
            ]
            c.KubeSpawner.environment = {variables!r}
            c.KubeSpawner.extra_labels = {labels!r}
            """)

    def start(self) -> None:
        self.start_proxy()
        self.start_hub()


@dataclass
class Side:
    """One hub and a client of it."""

    name: str
    hub: ClusterStack
    options: dict[str, object]
    """Sent with each start; KubeSpawner without profiles stores and ignores them."""
    token: str = ""
    _sessions: local = field(default_factory=local)

    @property
    def account(self) -> str:
        """Name of the hub's account in the cluster's audit log."""
        return f"system:serviceaccount:{self.hub.namespace}:hub"

    def log_in(self) -> None:
        """Get a token that the hub made itself: it checks those of its configuration with 16,384 rounds of a hash at each request."""
        answer = self.hub.api("POST", f"users/{ADMIN}/tokens", json={"note": "benchmark"})
        answer.raise_for_status()
        self.token = answer.json()["token"]

    def launch(self, user: str, *, tries: int = 1) -> int:
        """Start a server and return once it is ready; return how often it was refused as too busy before, and asked for again as told."""
        for refused in range(tries):
            answer = self.call("POST", user)
            if answer.status_code != 503 or refused == tries - 1:
                break
            time.sleep(float(answer.headers.get("Retry-After", 5)))
        assert answer.status_code in {201, 202}, f"{self.name}: {answer.status_code} {answer.text[:2000]}\n{self.hub.log()}"
        if answer.status_code == 202:
            self.hub.wait_ready(user, seconds=110)
        return refused

    def end(self, user: str) -> None:
        """Stop a server and return once the hub has none."""
        answer = self.call("DELETE", user)
        assert answer.status_code in {202, 204}, f"{self.name}: {answer.status_code} {answer.text[:2000]}"
        if answer.status_code == 202:
            wait_for(lambda: not self.hub.server(user), f"the server of {user} stopped\n{self.hub.log()}", 110, 0.5)

    def call(self, method: str, user: str) -> requests.Response:
        if not hasattr(self._sessions, "value"):
            self._sessions.value = requests.Session()
        body = {"user_options": self.options} if method == "POST" else None
        headers = {"Authorization": f"token {self.token}"}
        answer: requests.Response = self._sessions.value.request(method, f"{self.hub.url}/hub/api/users/{user}/server", headers=headers, json=body, timeout=150)
        return answer

    def hub_cpu_ms(self) -> float:
        """Return what all threads of the hub have run, in milliseconds."""
        assert self.hub.hub is not None
        tasks = Path(f"/proc/{self.hub.hub.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6

    def rss_bytes(self) -> int:
        """Return the hub's resident memory."""
        assert self.hub.hub is not None
        return int(Path(f"/proc/{self.hub.hub.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def pods(self) -> list[dict[str, Any]]:
        """Return the namespace's pods, as the cluster has them."""
        found: list[dict[str, Any]] = json.loads(self.hub.kubectl("get", "pods", "-n", self.hub.namespace, "-o", "json"))["items"]
        return found


@dataclass(frozen=True, slots=True)
class Request:
    """One request in the audit log."""

    account: str
    what: str
    """Verb and resource."""
    received: float
    """Seconds since the epoch."""


class AuditLog:
    """Reads the API server's audit log from where it was read last; watches are left out."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, path.stat().st_size

    def new(self) -> list[Request]:
        """Return what was asked since the last call."""
        with self._path.open("rb") as log:
            log.seek(self._at)
            text = log.read()
        end = text.rfind(b"\n") + 1
        self._at += end
        rows = [json.loads(line) for line in text[:end].splitlines()]
        return [_request(row) for row in rows if row.get("stage") == "ResponseComplete" and row["verb"] != "watch"]


def _request(row: Mapping[str, Any]) -> Request:
    what = f"{row['verb']} {(row.get('objectRef') or {}).get('resource', '')}"
    return Request(row["user"]["username"], what, datetime.fromisoformat(row["requestReceivedTimestamp"]).timestamp())


class RunningTimes:
    """Says when each pod of a namespace, by its uid, was first told to run: a watch of its own, as the admin."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        server, token = config["clusters"][0]["cluster"]["server"], config["users"][0]["user"]["token"]
        self.seen: dict[str, float] = {}
        self._stream = requests.get(
            f"{server}/api/v1/namespaces/{namespace}/pods",
            params={"watch": "1", "resourceVersion": "0", "timeoutSeconds": "7200"},
            headers={"Authorization": f"Bearer {token}"},
            verify=str(kubeconfig.parent / "certificates" / "ca.crt"),
            stream=True,
            timeout=(10, 7200),
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream.iter_lines(chunk_size=None):
            pod = json.loads(line)["object"]
            assert pod["kind"] == "Pod", pod
            statuses = (pod.get("status") or {}).get("containerStatuses") or []
            if statuses and all("running" in status["state"] and status["ready"] for status in statuses):
                self.seen.setdefault(pod["metadata"]["uid"], time.time())


# Making them


@contextmanager
def both_hubs(cluster: Path, url: str, *, gpus: int, fake_nodes: int = 0, people: tuple[str, ...] = ()) -> Iterator[tuple[Side, Side]]:
    """Start ours and the stock hub, each with a proxy and in a namespace of its own; on KWOK's nodes if there are to be any."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the end of a run that is cut off tidies up, too
    with ExitStack() as stack:
        if fake_nodes:
            stack.enter_context(_fake_nodes(cluster, fake_nodes))
        ours, stock = (_side(stack, kind, cluster, url, people, gpus=gpus, is_fake=bool(fake_nodes)) for kind in (ClusterStack, StockHub))
        yield ours, stock


@contextmanager
def _fake_nodes(run: Path, count: int) -> Iterator[None]:
    cluster = Cluster(RunFolder(run.resolve()))
    start_kwok(cluster)
    names = make_nodes(cluster, count, product=FAKE_PRODUCT)
    cluster.kubectl("wait", "--for=condition=Ready", "node", "-l", "type=kwok", "--timeout=60s", timeout_seconds=70)
    command = [sys.executable, str(Path(__file__).with_name("cluster_answers.py")), str(POD_PORT)]
    answering = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert answering.stdout is not None
    answering.stdout.readline()
    try:
        yield
    finally:
        answering.kill()
        cluster.program("kwok").end()
        (cluster.run.path / "node-lost-seconds").unlink()
        cluster.restart("controller-manager")
        for start in range(0, len(names), 100):
            cluster.kubectl("delete", "node", "--wait=false", *names[start : start + 100])


def _side(stack: ExitStack, kind: type[ClusterStack], cluster: Path, url: str, people: tuple[str, ...], *, gpus: int, is_fake: bool) -> Side:
    name = "ours" if kind is ClusterStack else "stock"
    admin, namespace = cluster.resolve() / "kubeconfig", f"bench-{name}-{os.getpid()}"
    _kubectl(admin, "create", "namespace", namespace)
    stack.callback(_kubectl, admin, "delete", "namespace", namespace, "--wait=false")
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    folder.chmod(0o711)
    if not os.environ.get("AIPLATFORM_KEEP_TEST_FOLDERS"):
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    extra = BOTH + (ON_FAKE_NODES if is_fake else "") + f"c.Authenticator.allowed_users |= {set(people)!r}\n"
    account = {"hub": _account(admin, namespace, folder)}
    hub = kind(folder, admin_kubeconfig=admin, kubeconfigs=account, namespace=namespace, database_url=url, extra_config=extra)
    if isinstance(hub, StockHub):
        hub.stock_gpus = gpus
    print(f"{name}: logs in {folder}", flush=True)
    hub.prepare()
    stack.callback(hub.close)
    hub.start()
    stack.callback(_end_pods, hub)
    options = {"environment_template": "trivial", "gpus": gpus, **({"gpu_type": FAKE_TYPE} if is_fake and gpus else {})}
    if name == "ours":
        wait_for(lambda: _is_all_free(hub), "the nodes offer their GPUs to our hub", 120, 0.5)
    side = Side(name, hub, options)
    side.log_in()
    return side


def _is_all_free(hub: ClusterStack) -> bool:
    """Whether every node takes sessions: a new one has a taint for some seconds after it is Ready."""
    counted = hub.factory.enforcer.capacity()
    return bool(counted) and not any(row.unhealthy for row in counted)


def _end_pods(hub: ClusterStack) -> None:
    """Delete the namespace's pods while the keeper is there to let them go: closing a hub takes them one by one."""
    hub.kubectl("delete", "pods", "--all", "-n", hub.namespace, "--wait=false", is_checked=False, seconds=120)
    until = time.monotonic() + 120
    while time.monotonic() < until and hub.kubectl("get", "pods", "-n", hub.namespace, "-o", "name", is_checked=False):
        time.sleep(2)


def _account(admin: Path, namespace: str, folder: Path) -> Path:
    """Return a kubeconfig of a service account ``hub`` that may do everything in its namespace and nothing elsewhere."""
    _kubectl(admin, "create", "serviceaccount", "hub", "-n", namespace)
    _kubectl(admin, "create", "rolebinding", "hub", "--clusterrole=cluster-admin", f"--serviceaccount={namespace}:hub", "-n", namespace)
    config = yaml.safe_load(admin.read_text())
    config["users"][0]["user"] = {"token": _kubectl(admin, "create", "token", "hub", "-n", namespace, "--duration=10h").strip()}
    target = folder / "hub.kubeconfig"
    target.write_text(yaml.safe_dump(config))
    return target


def _kubectl(kubeconfig: Path, *arguments: str) -> str:
    return subprocess.run(["kubectl", "--kubeconfig", str(kubeconfig), *arguments], check=True, capture_output=True, text=True, timeout=120).stdout
