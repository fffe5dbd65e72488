"""One cluster for every test here: it starts before the first test that needs it and is taken down whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.machinery.client import ClusterClient, ClusterError, ForeignCluster, wait_for
from tests.cluster.machinery.cluster import Cluster
from tests.cluster.machinery.images import IMAGES
from tests.cluster.machinery.kueue import build_kueue, start_kueue
from tests.cluster.machinery.layout import DEFAULT_RUN, RunFolder
from tests.cluster.machinery.leftovers import refuse_foreign_kubelet
from tests.cluster.machinery.requirements import missing_requirements
from tests.cluster.machinery.up import bring_up, only_one
from tests.cluster.stack_fixtures import *  # noqa: F403 - fixtures live where they are found

OWN_ONLY = ("faults", "own_cluster")
FOREIGN = os.environ.get("AIPLATFORM_TEST_KUBECONFIG")
STANDING = os.environ.get("AIPLATFORM_TEST_RUN_DIR")
CLUSTER = pytest.StashKey[ClusterClient]()
TAKE_DOWN = pytest.StashKey[ExitStack]()


def pytest_report_header() -> list[str]:
    """Say whose cluster it is and what does not run there."""
    if FOREIGN:
        return [
            f"cluster: yours, by AIPLATFORM_TEST_KUBECONFIG={FOREIGN}; tests marked {' or '.join(OWN_ONLY)} are skipped: they break or look into a cluster of ours"
        ]
    return [f"cluster: {'the one that stands' if STANDING else 'a new one'} in {STANDING or DEFAULT_RUN}"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a contributor's own cluster, skip what only a cluster of ours can bear."""
    for item in items:
        if FOREIGN and "cluster" in getattr(item, "fixturenames", ()) and any(item.get_closest_marker(name) for name in OWN_ONLY):
            item.add_marker(pytest.mark.skip(reason="needs a cluster of ours: AIPLATFORM_TEST_KUBECONFIG is set"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Start the cluster before the first test: a build may take longer than any test may."""
    needed = any("cluster" in getattr(item, "fixturenames", ()) for item in session.items)
    if not needed or session.config.option.collectonly:
        return
    if hasattr(session.config, "workerinput"):
        pytest.exit("cluster tests share one cluster: run them with -n 0", returncode=2)
    session.config.stash[TAKE_DOWN] = ExitStack()
    try:
        session.config.stash[CLUSTER] = _open(session.config)
    except (ClusterError, RuntimeError, OSError) as error:
        pytest.exit(f"no cluster: {error}", returncode=2)
    if FOREIGN is None and any("kueue" in getattr(item, "fixturenames", ()) for item in session.items):
        build_kueue(session.config.get_terminal_writer().line)
    os.environ["PATH"] = f"{Path(session.config.stash[CLUSTER].program_path).parent}{os.pathsep}{os.environ['PATH']}"


def _open(config: pytest.Config) -> ClusterClient:
    if FOREIGN:
        return ForeignCluster(Path(FOREIGN))
    if problem := missing_requirements():
        pytest.exit(problem, returncode=2)
    if STANDING:
        cluster = Cluster(RunFolder(Path(STANDING).resolve()))
        cluster.is_api_ready()
        return cluster
    signal.signal(signal.SIGTERM, _interrupt)
    run = RunFolder(DEFAULT_RUN)
    take_down = config.stash[TAKE_DOWN]
    take_down.enter_context(only_one(run))
    refuse_foreign_kubelet(run)
    Cluster(run).stop()
    take_down.callback(Cluster(run).stop)
    return bring_up(run, config.get_terminal_writer().line)[0]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with each failure what the cluster runs and said at that moment: later it is gone."""
    report = yield
    if report.failed and CLUSTER in item.config.stash:
        for title, words in (("pods", ["get", "pods", "-A", "-o", "wide"]), ("last events", ["get", "events", "-A", "--sort-by=.metadata.creationTimestamp"])):
            try:
                text = "\n".join(item.config.stash[CLUSTER].kubectl(*words, timeout_seconds=10).splitlines()[-25:])
            except (ClusterError, OSError, subprocess.SubprocessError) as error:
                text = str(error)
            report.sections.append((title, text))
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the cluster down after the last fixture has ended, also after a failure or Ctrl-C."""
    if TAKE_DOWN in config.stash:
        config.stash[TAKE_DOWN].close()


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Any:
    """Return the cluster; its node is Ready and offers its GPUs."""
    return request.config.stash[CLUSTER]


@pytest.fixture(scope="session")
def images(cluster: Any) -> tuple[str, ...]:
    """Return the names of the images that the node has; nothing is ever pulled."""
    return IMAGES


@pytest.fixture(scope="session")
def kueue(cluster: Any) -> Any:
    """Return the cluster with a Kueue whose manager answers; it stays until the cluster is taken down."""
    start_kueue(cluster)
    return cluster


@pytest.fixture
def namespace(cluster: Any) -> Iterator[str]:
    """Return a fresh namespace; its pods are gone when the next test starts, so that their GPUs are free."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    wait_for(lambda: cluster.kubectl("get", "serviceaccount", "default", "-n", name), 150, "the namespace's service account")
    yield name
    cluster.kubectl("delete", "pods", "--all", "-n", name, "--grace-period=1", "--wait=false")
    cluster.kubectl("delete", "namespace", name, "--wait=false")
    wait_for(lambda: not cluster.get("pods", "-n", name)["items"], 60, f"pods of {name} gone")
