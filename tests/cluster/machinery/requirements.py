"""What a machine must have before a cluster can start on it."""

import os
import platform
import shutil
from pathlib import Path

PROGRAMS = ("etcd", "containerd", "ctr", "runc", "ip", "iptables", "debootstrap", "openssl", "mount", "tar")


def missing_requirements() -> str:
    """Return what is missing, as a sentence that says what to do; empty when nothing is."""
    if platform.system() != "Linux":
        return "The test cluster needs Linux: kubelet and containerd run on nothing else. Set AIPLATFORM_TEST_KUBECONFIG to use a cluster of yours."
    if platform.machine() != "x86_64":
        return f"The test cluster's images are for x86_64, this machine is {platform.machine()}. Set AIPLATFORM_TEST_KUBECONFIG to use a cluster of yours."
    if os.geteuid() != 0:
        return "The test cluster needs root, as the kubelet does: sudo make test-cluster. Or set AIPLATFORM_TEST_KUBECONFIG to use a cluster of yours."
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing or not Path("/usr/lib/cni/bridge").exists():
        return f"The test cluster lacks {', '.join(missing) or 'the CNI plugins in /usr/lib/cni'}: sh requirements/setup.sh cluster installs it."
    return ""
