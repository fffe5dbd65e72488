"""The programs of the cluster, built from Go modules and kept between runs.

Nothing is downloaded but modules, from the module proxy that the go command uses.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.machinery.layout import GO_MODULES
from tests.cluster.machinery.toolchain import find_go

KUBERNETES = "1.34.4"
VERSION = "k8s.io/component-base/version"
LINK = f"-s -w -X {VERSION}.gitVersion=v{KUBERNETES} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor=34"
BUILD_SECONDS = 1500


@dataclass(frozen=True, slots=True)
class Module:
    """One of our Go modules: what it builds, by package."""

    folder: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        return GO_MODULES / self.folder

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the files that it builds."""
        return tuple(package.rpartition("/")[2] for package in self.packages)


CLUSTER = (
    Module(
        "kubernetes",
        (
            *(f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")),
            "./gpudevices",
            "./pause",
        ),
    ),
    Module("dns", ("./coredns",)),
)
KWOK = Module("kwok", ("sigs.k8s.io/kwok/cmd/kwok",))
"""Nodes that are not there, for benchmarks."""
KUEUE = Module("kueue", ("sigs.k8s.io/kueue/cmd/kueue",))
"""The other queue."""


def build(module: Module, cache: Path, say: Callable[[str], None] = print) -> Path:
    """Build a module unless the cache has it, and return the folder of its programs."""
    target = cache / "programs" / f"{module.folder}-{_key(module)}"
    if all((target / name).exists() for name in module.programs):
        return target
    say(f"Building {', '.join(module.programs)} (several minutes from an empty Go cache)")
    partial = target.with_name(f"{target.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": "-buildvcs=false"}
    command = [find_go(cache), "build", "-p=2", "-o", f"{partial}/", "-ldflags", LINK, *module.packages]
    result = subprocess.run(command, cwd=module.path, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr[-3000:]}")
    for old in target.parent.glob(f"{module.folder}-*"):
        if old != partial:
            shutil.rmtree(old)
    partial.rename(target)
    return target


def build_cluster(cache: Path, say: Callable[[str], None] = print) -> dict[str, Path]:
    """Build every program of the cluster and return their files by name."""
    folders = [build(module, cache, say) for module in CLUSTER]
    return {path.name: path for folder in folders for path in folder.iterdir()}


def _key(module: Module) -> str:
    """Return a name for all that goes into a build."""
    content = hashlib.sha256(LINK.encode())
    for path in sorted(module.path.rglob("*")):
        if path.is_file():
            content.update(path.read_bytes())
    return content.hexdigest()[:16]
