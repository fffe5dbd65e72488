"""The project's own images, built by ``images/build`` with buildah on the tests' base, and kept between runs as archives."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiplatform_hub import __version__
from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.images import BASE_IMAGE, BUNDLE, cached
from tests.cluster.machinery.layout import REPOSITORY, cache_folder

PREFIX = "aiplatform-hub"
SHARED_DOCKERFILE = Path("images/session.Dockerfile")
"""Of every image whose folder has none of its own."""
LAYERED = ("hub",)
"""Images that change with every line of the source: the layers below, with their packages, are kept for the next build."""
KEPT_BYTES = 3 * 2**30
"""What a store may hold to be kept. One source change adds some MB; vfs copies every layer and is over it after one build."""
BUILD_SECONDS = 3000


def reference(name: str) -> str:
    """Return an image's name as pods write it."""
    return f"{PREFIX}/{name}:{__version__}"


def ensure_images(cluster: Cluster, names: Sequence[str], say: Callable[[str], None] = print) -> None:
    """Bring images into the cluster's node, unless it has them; build what the cache has not.

    A cluster that stands keeps what it has: after a change there, remove the image by ``ctr images rm``.
    """
    present = cluster.ctr("images", "ls", "-q").split()
    for name in names:
        if f"docker.io/{reference(name)}" not in present:
            cluster.import_image(project_archive(name, cache_folder() / "images", say))


def project_archive(name: str, folder: Path, say: Callable[[str], None] = print) -> Path:
    """Return the archive of one of the project's images; build it if one of its sources is not the one it was built from."""
    base = next(folder.glob("aiplatform-base-*.tar"))
    return cached(folder, f"project-{name}", "tar", (base.name, source_digest(name)), lambda target: _build(name, base, target, say))


def sources(name: str, repository: Path = REPOSITORY) -> list[Path]:
    """Return what goes into an image, relative to the repository: its Dockerfile, what that copies, and the same of the image it is built on."""
    own = Path("images", name, "Dockerfile")
    dockerfile = own if (repository / own).exists() else SHARED_DOCKERFILE
    text = (repository / dockerfile).read_text().replace("${ENVIRONMENT}", name)
    copied = [Path(source) for line in re.findall(r"(?m)^COPY (?!--)(.+) \S+$", text) for source in line.split()]
    bases = re.findall(rf"(?m)^ARG BASE_IMAGE={PREFIX}/([a-z-]+):", text)
    return [Path(".dockerignore"), dockerfile, *copied, *(source for base in bases for source in sources(base, repository))]


def source_digest(name: str, repository: Path = REPOSITORY) -> str:
    """Return the SHA-256 of an image's sources: paths and contents."""
    digest = hashlib.sha256()
    for source in sources(name, repository):
        path = repository / source
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(repository)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(name: str, base: Path, target: Path, say: Callable[[str], None]) -> None:
    say(f"Building the image {reference(name)}")
    with build_store(target.parent, keep=name in LAYERED) as options:
        subprocess.run(["buildah", *options, "pull", "--quiet", f"docker-archive:{base}"], check=True, capture_output=True, timeout=300)
        archives = target.parent / f"{target.name}.archives"
        bundle = Path("/", BUNDLE)
        command = [
            *(sys.executable, "images/build", "--engine=buildah", *(f"--engine-option={option}" for option in options)),
            *("--build-option=--isolation=chroot", "--build-option=--pull=never", f"--base-image={BASE_IMAGE}", f"--archive={archives}"),
            *(("--build-option=--layers",) if name in LAYERED else ()),
            *((f"--ca-bundle={bundle}",) if bundle.exists() else ()),
            name,
        ]
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(result.stdout + result.stderr)[-3000:]}")
        (archives / f"{name}.tar").rename(target)
        archives.rmdir()


@contextmanager
def build_store(folder: Path, *, keep: bool, kept_bytes: int = KEPT_BYTES) -> Iterator[tuple[str, ...]]:
    """Yield buildah's options for a store of ours.

    It is gone afterwards, unless it is to be kept, holds no more than ``kept_bytes``, and nothing failed: whatever is wrong with it is then wrong once only.
    """
    with (folder / "buildah.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("buildah-once-*"):
            shutil.rmtree(left, ignore_errors=True)
        root = folder / "buildah-kept" if keep else Path(tempfile.mkdtemp(prefix="buildah-once-", dir=folder))
        is_good = False
        try:
            yield _options(root)
            is_good = keep and _size_bytes(root) <= kept_bytes
        finally:
            for mounted in sorted(root.glob("*/overlay")):
                subprocess.run(["umount", "--lazy", mounted], capture_output=True, timeout=30, check=False)
            if not is_good:
                shutil.rmtree(root, ignore_errors=True)


def _options(root: Path) -> tuple[str, ...]:
    """Return buildah's options for a store in this folder: with overlay where the kernel allows it, as vfs copies every layer."""
    for driver in ("overlay", "vfs"):
        options = (f"--storage-driver={driver}", f"--root={root}/{driver}", f"--runroot={root}/{driver}-run")
        if subprocess.run(["buildah", *options, "info"], capture_output=True, timeout=60, check=False).returncode == 0:
            break
    return options


def _size_bytes(root: Path) -> int:
    return 1024 * int(subprocess.run(["du", "-skx", root], capture_output=True, text=True, timeout=120, check=False).stdout.split()[0])
