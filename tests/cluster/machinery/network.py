"""The bridge that pods and this machine share."""

import subprocess
from pathlib import Path

from tests.cluster.machinery.layout import BRIDGE, HOST_ADDRESS


def ip(*arguments: str, check: bool = True) -> str:
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True, timeout=20).stdout


def is_bridge_up() -> bool:
    """Say whether the pods' bridge is there."""
    return Path("/sys/class/net", BRIDGE).exists()


def make_bridge() -> None:
    """Make the bridge before the first pod, as its address is the API server's."""
    if not is_bridge_up():
        ip("link", "add", BRIDGE, "type", "bridge")
    ip("addr", "replace", f"{HOST_ADDRESS}/24", "dev", BRIDGE)
    ip("link", "set", BRIDGE, "up")
    for setting in ("net/ipv4/ip_forward",):
        Path("/proc/sys", setting).write_text("1")


def remove_bridge() -> None:
    """Take the bridge away; pods' ends of it go with their network namespaces."""
    if is_bridge_up():
        ip("link", "delete", BRIDGE)
