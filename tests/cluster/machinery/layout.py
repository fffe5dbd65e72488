"""Where the test cluster keeps what it builds and what it runs, and the names and addresses in it."""

import os
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
GO_MODULES = HERE.parent / "go"
REPOSITORY = HERE.parents[2]

NODE = "gpu-node-1"
GPU_COUNT = 4
GPU_PRODUCT = "NVIDIA-A100-SXM4-80GB"
NODE_LABELS = {
    "nvidia.com/gpu.present": "true",
    "nvidia.com/gpu.product": GPU_PRODUCT,
    "nvidia.com/gpu.count": str(GPU_COUNT),
    "nvidia.com/gpu.memory": "81920",
    "topology.kubernetes.io/zone": "zone-1",
}
BRIDGE = "cni0"
HOST_ADDRESS = "10.244.0.1"
"""The node, the API server, and this machine as pods reach it."""
POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
API_PORT = 6443


def cache_folder() -> Path:
    """Return where builds and images are kept between runs."""
    return Path(os.environ.get("AIPLATFORM_TEST_CACHE") or Path.home() / ".cache" / "aiplatform-test-cluster")


DEFAULT_RUN = Path("/var/tmp/aiplatform-test-cluster")
"""Short, as sockets are in it, and the same for every clone, so that a run finds what an earlier one left."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The one folder that a running cluster writes to, the kubelet's device plugin sockets and pods' cgroups apart."""

    path: Path

    @property
    def binaries(self) -> Path:
        """Links to the programs that the cluster runs."""
        return self.path / "bin"

    @property
    def certificates(self) -> Path:
        return self.path / "certificates"

    @property
    def processes(self) -> Path:
        return self.path / "processes"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        return self.path / "containerd.sock"

    @property
    def unhealthy_gpus(self) -> Path:
        return self.path / "unhealthy-gpus"

    @property
    def volumes(self) -> Path:
        return self.path / "volumes"

    @property
    def kubelet(self) -> Path:
        return self.path / "kubelet"

    @property
    def node_lost_seconds(self) -> float:
        """How long the node may be silent before it counts as lost; Kubernetes' own default is 50."""
        try:
            return float((self.path / "node-lost-seconds").read_text())
        except OSError:
            return 6

    def make(self) -> None:
        """Make the folder and its parts; everybody may read the kubeconfig's folder, as tests run servers as other users."""
        for folder in (self.path, self.binaries, self.certificates, self.processes, self.logs, self.volumes, self.kubelet):
            folder.mkdir(parents=True, exist_ok=True)
