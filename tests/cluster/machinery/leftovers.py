"""What a cluster leaves on a machine beside its processes, and how it goes away; works for a run that was killed too."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.machinery import network
from tests.cluster.machinery.layout import RunFolder

CGROUPS = Path("/sys/fs/cgroup")


def command_lines() -> Iterator[tuple[int, list[str]]]:
    """Yield the id and command line of every living process that has one."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
                if words:
                    yield int(folder.name), words


def refuse_foreign_kubelet(run: RunFolder) -> None:
    """Refuse to start beside another kubelet: the path of its device plugins' socket is fixed, one machine has room for one."""
    advice = (
        "There can be only one on a machine: stop it, for example by `python -m tests.cluster.machinery down --run-dir FOLDER`, "
        "or set AIPLATFORM_TEST_KUBECONFIG to use its cluster."
    )
    for pid, words in command_lines():
        if Path(words[0]).name in {"kubelet", "k3s", "k0s"} and f"--root-dir={run.kubelet}" not in words:
            raise RuntimeError(f"another kubelet runs here (process {pid}: {' '.join(words)[:160]}). {advice}")
    own = set(shims(run))
    if foreign := [pid for pid in sorted(pod_processes()) if own.isdisjoint(lineage(pid))]:
        raise RuntimeError(f"pods of another kubelet run here (processes {foreign[:5]}). {advice}")


def ctr(run: RunFolder, *arguments: str) -> str:
    """Run containerd's own client against the run's containerd."""
    command = ["ctr", f"--address={run.containerd_socket}", "--namespace=k8s.io", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def shims(run: RunFolder) -> list[int]:
    """Return the processes that hold the run's pods; they outlive containerd."""
    own = str(run.containerd_socket)
    return [pid for pid, words in command_lines() if Path(words[0]).name == "containerd-shim-runc-v2" and own in words]


def pod_processes() -> set[int]:
    """Return every process in a pod's cgroup."""
    found = set()
    for listing in CGROUPS.glob("*/kubepods/**/cgroup.procs"):
        with contextlib.suppress(OSError):
            found.update(int(line) for line in listing.read_text().split())
    for listing in CGROUPS.glob("kubepods/**/cgroup.procs"):
        with contextlib.suppress(OSError):
            found.update(int(line) for line in listing.read_text().split())
    return found


def lineage(pid: int) -> set[int]:
    """Return the process and all from which it descends."""
    found = set()
    while pid and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            break
    return found


def children(pid: int) -> list[int]:
    """Return the direct children of a process: for a shim, the first process of each of its containers."""
    found = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in listing.read_text().split()]
    return found


def end_containers(run: RunFolder) -> None:
    """Kill all that the run's pods run, then the shims; the kubelet must be gone by now, else it starts them anew."""
    for _ in range(100):
        own = shims(run)
        inside = [child for shim in own for child in children(shim)]
        for pid in inside or own:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not own:
            return
        time.sleep(0.1)
    raise RuntimeError(f"still alive: {shims(run)}")


def mounts_below(folder: Path) -> list[str]:
    """Return the mount points in a folder, the deepest first."""
    points = [line.split()[1].encode().decode("unicode_escape") for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), key=len, reverse=True)


def remove(run: RunFolder) -> None:
    """Take away mounts, cgroups, packet rules, the bridge and the run folder; its logs stay in a folder beside it."""
    if not run.path.exists():
        return
    for point in mounts_below(run.path):
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True, timeout=30)
    for root in [*CGROUPS.glob("*/kubepods"), CGROUPS / "kubepods"]:
        for folder, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    if (run.binaries / "kube-proxy").exists() and network.is_bridge_up():
        subprocess.run([run.binaries / "kube-proxy", "--cleanup"], check=False, capture_output=True, timeout=60)
    network.remove_bridge()
    keep = run.path.with_name(f"{run.path.name}-logs")
    if run.logs.exists():
        shutil.rmtree(keep, ignore_errors=True)
        shutil.move(run.logs, keep)
    if mounts_below(run.path):
        raise RuntimeError(f"still mounted: {', '.join(mounts_below(run.path))}")
    shutil.rmtree(run.path, ignore_errors=True)
