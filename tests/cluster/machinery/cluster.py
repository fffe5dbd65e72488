"""The whole cluster: start, stop, break and mend it."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.machinery import certificates, configuration, leftovers, network, volumes
from tests.cluster.machinery.client import ClusterClient, ClusterError, wait_for
from tests.cluster.machinery.components import AUDIT_POLICY, COMPONENTS
from tests.cluster.machinery.layout import GPU_COUNT, HOST_ADDRESS, NODE, NODE_LABELS, RunFolder
from tests.cluster.machinery.processes import Program

__all__ = ["Cluster", "ClusterError", "wait_for"]

CONTROL_PLANE = ("etcd", "apiserver", "containerd")
NODE_PARTS = ("controller-manager", "scheduler", "kubelet", "gpu-devices", "kube-proxy", "dns")


class Cluster(ClusterClient):
    """One control plane and one node, as processes of this machine.

    Parameters
    ----------
    run
        The folder for everything that the cluster writes.
    """

    is_own = True
    host_address = HOST_ADDRESS
    """This machine as pods reach it."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run.kubeconfig, str(run.binaries / "kubectl"))
        self.run, self.node = run, NODE

    # -- whole cluster --------------------------------------------------------------------------------------------

    def start(self, programs: Mapping[str, Path], archives: Mapping[str, Path]) -> None:
        """Start everything that does not run and wait until the node takes pods with GPUs.

        Parameters
        ----------
        programs
            The built programs by name.
        archives
            The archive of each image by the image's name.
        """
        leftovers.refuse_foreign_kubelet(self.run)
        self.run.make()
        for name, path in programs.items():
            self.link(name, path)
        certificates.make_certificates(self.run.certificates)
        self.write_configuration()
        network.make_bridge()
        for name in CONTROL_PLANE:
            self._launch(name)
        self._wait("containerd", self.is_containerd_ready, 60)
        self._wait("apiserver", self.is_api_ready, 60)
        known = self.ctr("images", "ls", "--quiet").split()
        for name, archive in archives.items():
            if name not in known:
                self.import_image(archive)
        self._start_node()

    def _start_node(self) -> None:
        for name in NODE_PARTS:
            self._launch(name)
        self._wait("kubelet", self.is_node_ready, 60)
        labels = [f"{key}={value}" for key, value in NODE_LABELS.items()]
        self.kubectl("label", "node", self.node, "--overwrite", *labels)
        self._wait("gpu-devices", lambda: self.allocatable_gpus() == GPU_COUNT, 60)
        self._wait("controller-manager", lambda: self.kubectl("get", "serviceaccount", "default", "-n", "default"), 60)
        volumes.make_storage_classes(self)

    def stop(self) -> None:
        """Take everything down, whatever is left of it."""
        for name in ("gpu-devices", "kubelet", "kwok", "scheduler", "controller-manager", "kube-proxy", "dns"):
            self.program(name).end()
        leftovers.end_containers(self.run)
        for name in ("apiserver", "etcd", "containerd"):
            self.program(name).end()
        leftovers.remove(self.run)

    def status(self) -> dict[str, int | None]:
        """Return each component's process id, None for one that does not run."""
        return {name: self.program(name).pid for name in COMPONENTS}

    # -- parts ----------------------------------------------------------------------------------------------------

    def program(self, name: str) -> Program:
        """Return a component's program."""
        return Program(name, self.run.processes / f"{name}.json", self.run.logs / f"{name}.log")

    def link(self, name: str, path: Path) -> None:
        """Make a built program one of the cluster's."""
        target = self.run.binaries / name
        target.unlink(missing_ok=True)
        target.symlink_to(path.resolve())

    def launch(self, name: str) -> None:
        """Start a component that is started only when asked for."""
        self._launch(name)

    # -- faults ---------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """Kill a component with SIGKILL and leave it dead."""
        self.program(name).kill()

    def pause(self, name: str) -> None:
        """Stop a component with SIGSTOP: it neither works nor dies."""
        self.program(name).send(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a paused component go on."""
        self.program(name).send(signal.SIGCONT)

    def restart(self, name: str) -> None:
        """Start a component that is dead, or end it and start it, and wait until it answers."""
        self.program(name).end()
        self._launch(name)
        ready: dict[str, Callable[[], object]] = {
            "etcd": self.is_api_ready,
            "apiserver": self.is_api_ready,
            "containerd": self.is_containerd_ready,
            "kubelet": self.is_node_ready,
        }
        if name in ready:
            self._wait(name, ready[name], 60)

    def heal(self) -> None:
        """Undo every fault: all components run, all devices are healthy, the node is Ready with all its GPUs."""
        self.set_unhealthy_gpus()
        for name in (*CONTROL_PLANE, *NODE_PARTS):
            self.resume(name)
            self._launch(name)
        self._wait("apiserver", self.is_api_ready, 60)
        self._wait("containerd", self.is_containerd_ready, 30)
        self._wait("kubelet", lambda: self.is_node_ready() and self.allocatable_gpus() == GPU_COUNT, 60)

    def set_unhealthy_gpus(self, *indexes: int) -> None:
        """Make just these of the GPUs unhealthy; without any, all are well again."""
        self.run.unhealthy_gpus.write_text(" ".join(map(str, indexes)))

    def set_node_lost_seconds(self, seconds: float) -> None:
        """Let a node be silent for so long before it counts as lost."""
        (self.run.path / "node-lost-seconds").write_text(f"{seconds:g}")
        self.restart("controller-manager")

    # -- questions ------------------------------------------------------------------------------------------------

    def is_containerd_ready(self) -> bool:
        """Say whether containerd answers."""
        return bool(self.ctr("version"))

    def is_node_ready(self, node: str = NODE) -> bool:
        """Say whether a node's Ready condition is True."""
        return super().is_node_ready(node)

    def allocatable_gpus(self, node: str = NODE, resource: str = "nvidia.com/gpu") -> int:
        """Return how many GPUs a node offers."""
        return super().allocatable_gpus(node, resource)

    def ctr(self, *arguments: str) -> str:
        """Run containerd's own client in Kubernetes' namespace and return what it prints."""
        return leftovers.ctr(self.run, *arguments)

    def import_image(self, archive: Path) -> None:
        """Import the images of an archive into the node."""
        self.ctr("images", "import", str(archive))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _launch(self, name: str) -> None:
        self.program(name).start(COMPONENTS[name].command(self.run))

    def _wait(self, name: str, condition: Callable[[], object], timeout_seconds: float) -> None:
        try:
            wait_for(condition, timeout_seconds, f"{name} ready")
        except TimeoutError as error:
            raise ClusterError(f"{error}\nEnd of {name}'s log:\n{self.program(name).tail()}") from None

    def write_configuration(self) -> None:
        """Write kubeconfigs and every component's configuration."""
        run = self.run
        for user in certificates.USERS:
            target = run.kubeconfig if user == "admin" else run.certificates / f"{user}.kubeconfig"
            target.write_text(certificates.kubeconfig_of(run.certificates, user))
        (run.path / "cni").mkdir(exist_ok=True)
        texts = {
            "containerd.toml": configuration.containerd(run),
            "cni/pods.conflist": configuration.cni(run),
            "kubelet.yaml": configuration.kubelet(run),
            "kube-proxy.yaml": configuration.kube_proxy(run),
            "Corefile": configuration.dns(run),
            "audit-policy.yaml": AUDIT_POLICY,
        }
        for name, text in texts.items():
            (run.path / name).write_text(text)
