"""Build, then start: what the tests and the command line do alike."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.machinery.build import build_cluster
from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.images import build_images
from tests.cluster.machinery.layout import RunFolder, cache_folder


def bring_up(run: RunFolder, say: Callable[[str], None]) -> tuple[Cluster, list[str]]:
    """Build what the cache lacks, start the cluster, and return it with the names of its images."""
    began = time.monotonic()
    programs, archives = build_all(say)
    built = time.monotonic()
    cluster = Cluster(run)
    cluster.start(programs, archives)
    say(f"Cluster is up: built in {built - began:.0f} s, started in {time.monotonic() - built:.0f} s; KUBECONFIG={cluster.kubeconfig}")
    return cluster, list(archives)


def build_all(say: Callable[[str], None]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Build what the cache lacks; return the programs by name and the archive of each image by the image's name."""
    began = time.monotonic()

    def say_when(text: str) -> None:
        say(f"[{time.monotonic() - began:3.0f} s] {text}")

    programs = build_cluster(cache_folder(), say_when)
    return programs, build_images(programs["pause"], cache_folder() / "images", say_when)


@contextmanager
def only_one(run: RunFolder) -> Iterator[None]:
    """Hold the run folder's lock: two test runs would take each other's cluster down."""
    path = run.path.with_name(f"{run.path.name}.lock")
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RuntimeError(f"another test run uses {run.path}: wait until it has ended") from None
        yield
