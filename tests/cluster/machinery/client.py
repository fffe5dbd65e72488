"""What tests ask of any cluster, ours or the contributor's own: kubectl as the administrator, and values instead of text."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class ClusterError(RuntimeError):
    """The cluster did not do what was asked; the message shows the log that says why."""


def wait_for(condition: Callable[[], T], timeout_seconds: float, what: str = "", interval_seconds: float = 0.1) -> T:
    """Call until the answer is true and return it; an error of the cluster counts as not yet."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            answer, problem = condition(), None
        except (ClusterError, OSError, subprocess.SubprocessError, LookupError, ValueError) as error:
            answer, problem = None, error
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what or condition} did not come true in {timeout_seconds:g} s; last: {problem or answer!r}")
        time.sleep(interval_seconds)


class ClusterClient:
    """An administrator's access to a cluster.

    Parameters
    ----------
    kubeconfig
        The administrator's kubeconfig.
    program
        The kubectl to run.
    """

    is_own = False
    """Whether the cluster is ours to break."""

    def __init__(self, kubeconfig: Path, program: str) -> None:
        self.kubeconfig, self.program_path = kubeconfig, program

    def kubectl(self, *arguments: str, given: str | None = None, timeout_seconds: float = 60) -> str:
        """Run kubectl and return what it prints."""
        command = [self.program_path, f"--kubeconfig={self.kubeconfig}", *arguments]
        result = subprocess.run(command, input=given, capture_output=True, text=True, timeout=timeout_seconds, check=False)
        if result.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """Return `kubectl get … -o json` as a value."""
        answer: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return answer

    def apply(self, *manifests: dict[str, Any], server_side: bool = False) -> None:
        """Apply manifests given as values."""
        options = ["--server-side", "--force-conflicts"] if server_side else []
        self.kubectl("apply", *options, "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def pod(self, name: str, namespace: str) -> dict[str, Any]:
        """Return a pod."""
        return self.get("pod", name, "-n", namespace)

    def is_api_ready(self) -> bool:
        """Say whether the API server answers that it is ready, its storage included."""
        return self.kubectl("get", "--raw=/readyz", "--request-timeout=3s", timeout_seconds=5) == "ok"

    def is_node_ready(self, node: str) -> bool:
        """Say whether a node's Ready condition is True."""
        conditions = self.get("node", node)["status"]["conditions"]
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def allocatable_gpus(self, node: str, resource: str = "nvidia.com/gpu") -> int:
        """Return how many GPUs a node offers."""
        return int(self.get("node", node)["status"]["allocatable"].get(resource, "0"))


class ForeignCluster(ClusterClient):
    """A cluster that the contributor keeps: kind, k3s, or one of the project's that stays up."""

    def __init__(self, kubeconfig: Path) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise ClusterError("AIPLATFORM_TEST_KUBECONFIG needs kubectl on the PATH")
        super().__init__(kubeconfig, program)
        nodes = [item["metadata"]["name"] for item in self.get("nodes")["items"]]
        gpus = [name for name in nodes if self.allocatable_gpus(name)]
        self.node = next(iter([*gpus, *nodes]))

    @property
    def host_address(self) -> str:
        """This machine as pods reach it: told by AIPLATFORM_TEST_HOST_ADDRESS, else the address that our traffic to the node leaves from."""
        if told := os.environ.get("AIPLATFORM_TEST_HOST_ADDRESS"):
            return told
        addresses = {one["type"]: one["address"] for one in self.get("node", self.node)["status"]["addresses"]}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((addresses["InternalIP"], 6443))
            return str(probe.getsockname()[0])
