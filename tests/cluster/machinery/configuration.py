"""The texts that containerd, its network plugins and the kubelet are configured by."""

from tests.cluster.machinery.layout import BRIDGE, HOST_ADDRESS, NODE, POD_NETWORK, RunFolder

PAUSE_IMAGE = "localhost/pause:test"


def containerd(run: RunFolder) -> str:
    """Return containerd's configuration; no AppArmor, no oom score, as containers of a CI runner may lack both."""
    return f"""\
version = 2
root = "{run.path}/containerd"
state = "{run.path}/containerd-state"
oom_score = 0
[grpc]
  address = "{run.containerd_socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{run.path}/cni"
"""


def cni(run: RunFolder) -> str:
    """Return the pods' network: one bridge, addresses from one range, and host ports."""
    return f"""\
{{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "{BRIDGE}", "isGateway": true, "ipMasq": false, "hairpinMode": true,
    "ipam": {{"type": "host-local", "dataDir": "{run.path}/cni-addresses", "routes": [{{"dst": "0.0.0.0/0"}}],
      "ranges": [[{{"subnet": "{POD_NETWORK}", "rangeStart": "10.244.0.10", "gateway": "{HOST_ADDRESS}"}}]]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}
]}}
"""


def kubelet(run: RunFolder) -> str:
    """Return the kubelet's configuration: quick to say that it lives, never evicting for a full disk of the machine."""
    return f"""\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {run.certificates}/ca.crt}}}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{run.containerd_socket}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
maxOpenFiles: 20000
maxPods: 200
makeIPTablesUtilChains: false
protectKernelDefaults: false
evictionHard: {{memory.available: 0%, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%}}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
healthzPort: 0
nodeStatusUpdateFrequency: 1s
nodeStatusReportFrequency: 10s
nodeLeaseDurationSeconds: 4
registerWithTaints: []
serializeImagePulls: false
clusterDNS: [{HOST_ADDRESS}]
clusterDomain: cluster.local
"""


def kube_proxy(run: RunFolder) -> str:
    """Return how Services are reached; conntrack's limits are left to the machine."""
    return f"""\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {{kubeconfig: {run.certificates}/system:kube-proxy.kubeconfig}}
clusterCIDR: {POD_NETWORK}
hostnameOverride: {NODE}
mode: iptables
iptables: {{masqueradeAll: true, minSyncPeriod: 100ms}}
conntrack: {{maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}}
healthzBindAddress: ""
metricsBindAddress: 127.0.0.1:10249
"""


def dns(run: RunFolder) -> str:
    """Return the names that pods find: Services, and what this machine finds."""
    return f"""\
cluster.local:53 in-addr.arpa:53 {{
    bind {HOST_ADDRESS}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {run.certificates}/dns.kubeconfig
    }}
    errors
}}
.:53 {{
    bind {HOST_ADDRESS}
    errors
    forward . /etc/resolv.conf
}}
"""
