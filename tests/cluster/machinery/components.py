"""The programs of the cluster, in the order in which they start."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.cluster.machinery.layout import API_PORT, GPU_COUNT, HOST_ADDRESS, NODE, NODE_LABELS, POD_NETWORK, SERVICE_NETWORK, RunFolder

ETCD_PORT = 12379


@dataclass(frozen=True, slots=True)
class Component:
    """One program: its name, and its command line for the run folder."""

    name: str
    command: Callable[[RunFolder], list[str]]
    is_optional: bool = False
    """Started only when asked for."""


def _etcd(run: RunFolder) -> list[str]:
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
    return [
        *("etcd", "--name=test", f"--data-dir={run.path}/etcd", f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
        *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}", "--quota-backend-bytes=4294967296"),
    ]


def _apiserver(run: RunFolder) -> list[str]:
    own = run.certificates
    return [
        *(f"{run.binaries}/kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}", f"--secure-port={API_PORT}"),
        *(f"--advertise-address={HOST_ADDRESS}", f"--service-cluster-ip-range={SERVICE_NETWORK}", "--service-node-port-range=30000-32767"),
        *("--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"),
        *(f"--token-auth-file={own}/tokens.csv", f"--client-ca-file={own}/ca.crt"),
        *(f"--tls-cert-file={own}/apiserver.crt", f"--tls-private-key-file={own}/apiserver.key"),
        *(f"--kubelet-client-certificate={own}/apiserver-kubelet-client.crt", f"--kubelet-client-key={own}/apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP",
        *("--service-account-issuer=https://kubernetes.default.svc.cluster.local", f"--service-account-key-file={own}/service-accounts.pub"),
        f"--service-account-signing-key-file={own}/service-accounts.key",
        *(f"--requestheader-client-ca-file={own}/front-proxy-ca.crt", "--requestheader-allowed-names=front-proxy-client"),
        *("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        *(f"--proxy-client-cert-file={own}/front-proxy-client.crt", f"--proxy-client-key-file={own}/front-proxy-client.key"),
        "--enable-aggregator-routing=true",
        *(f"--audit-policy-file={run.path}/audit-policy.yaml", f"--audit-log-path={run.logs}/audit.log"),
    ]


def _controller_manager(run: RunFolder) -> list[str]:
    own = run.certificates
    return [
        *(f"{run.binaries}/kube-controller-manager", f"--kubeconfig={own}/system:kube-controller-manager.kubeconfig"),
        *("--leader-elect=false", "--bind-address=127.0.0.1", "--use-service-account-credentials", f"--root-ca-file={own}/ca.crt"),
        *(f"--service-account-private-key-file={own}/service-accounts.key", f"--cluster-cidr={POD_NETWORK}"),
        *(f"--cluster-signing-cert-file={own}/ca.crt", f"--cluster-signing-key-file={own}/ca.key"),
        *(f"--node-monitor-grace-period={run.node_lost_seconds:g}s", "--node-monitor-period=1s"),
    ]


def _scheduler(run: RunFolder) -> list[str]:
    kubeconfig = f"{run.certificates}/system:kube-scheduler.kubeconfig"
    return [f"{run.binaries}/kube-scheduler", f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1"]


def _containerd(run: RunFolder) -> list[str]:
    return ["containerd", f"--config={run.path}/containerd.toml"]


def _kubelet(run: RunFolder) -> list[str]:
    return [
        *(f"{run.binaries}/kubelet", f"--config={run.path}/kubelet.yaml", f"--kubeconfig={run.certificates}/system:node:{NODE}.kubeconfig"),
        *(f"--root-dir={run.kubelet}", f"--cert-dir={run.kubelet}/pki", f"--hostname-override={NODE}", f"--node-ip={HOST_ADDRESS}"),
        "--node-labels=" + ",".join(f"{key}={value}" for key, value in NODE_LABELS.items() if key.startswith("topology.kubernetes.io/")),
    ]


def _gpu_devices(run: RunFolder) -> list[str]:
    return [f"{run.binaries}/gpudevices", f"--count={GPU_COUNT}", f"--unhealthy-file={run.unhealthy_gpus}"]


def _kube_proxy(run: RunFolder) -> list[str]:
    return [f"{run.binaries}/kube-proxy", f"--config={run.path}/kube-proxy.yaml"]


def _dns(run: RunFolder) -> list[str]:
    return [f"{run.binaries}/coredns", "-conf", f"{run.path}/Corefile"]


def _kwok(run: RunFolder) -> list[str]:
    return [
        *(f"{run.binaries}/kwok", f"--kubeconfig={run.kubeconfig}", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"),
        *("--enable-crds=Stage", "--node-lease-duration-seconds=40", "--server-address=127.0.0.1:10247", "--cidr=127.1.0.1/16"),
    ]


COMPONENTS = {
    component.name: component
    for component in (
        Component("etcd", _etcd),
        Component("apiserver", _apiserver),
        Component("controller-manager", _controller_manager),
        Component("scheduler", _scheduler),
        Component("containerd", _containerd),
        Component("kubelet", _kubelet),
        Component("gpu-devices", _gpu_devices),
        Component("kube-proxy", _kube_proxy),
        Component("dns", _dns),
        Component("kwok", _kwok, is_optional=True),
    )
}
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler", "system:node:gpu-node-1", "system:kube-proxy", "dns"]}
- {level: None, nonResourceURLs: ["/*"]}
- {level: Metadata}
"""
"""One line per request of anybody but the control plane: tests count what a start costs."""
