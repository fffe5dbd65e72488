"""Fixtures that put the whole platform beside the cluster; ``conftest.py`` loads them."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import chromium
from tests.cluster.platform_stack import TRIVIAL_IMAGE, ClusterStack
from tests.support.database import _execute

_numbers = count(1)
StackMaker = Callable[..., ClusterStack]


@pytest.fixture(scope="session")
def seed() -> int:
    """Seed of everything drawn at random; ``AIPLATFORM_FAULT_SEED`` repeats a run."""
    value = int(os.environ.get("AIPLATFORM_FAULT_SEED") or random.SystemRandom().randint(1, 10**6))
    print(f"seed: AIPLATFORM_FAULT_SEED={value}", file=sys.__stderr__)
    return value


@pytest.fixture(scope="module")
def make_stack(cluster: Any, postgresql: str) -> Iterator[StackMaker]:
    """Return what makes an installation in a namespace and a PostgreSQL database of its own; all end with the module."""
    made: list[ClusterStack] = []

    def make(**options: Any) -> ClusterStack:
        number = next(_numbers)
        name = f"stack{os.getpid()}-{number}"
        _execute(postgresql.format(name="postgres"), f'CREATE DATABASE "{name}" TEMPLATE template0')
        cluster.kubectl("create", "namespace", name)
        cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        folder = Path(tempfile.mkdtemp(prefix="aiplatform-cluster-"))
        folder.chmod(0o711)
        stack = ClusterStack(folder, admin_kubeconfig=cluster.kubeconfig, namespace=name, database_url=postgresql.format(name=name), **options)
        made.append(stack)
        stack.prepare()
        stack.start()
        return stack

    yield make
    for stack in made:
        stack.close()
        cluster.kubectl("delete", "namespace", stack.namespace, "--wait=false")
        if not os.environ.get("AIPLATFORM_KEEP_TEST_FOLDERS"):
            shutil.rmtree(stack.folder, ignore_errors=True)


__all__ = ["TRIVIAL_IMAGE", "StackMaker", "chromium", "make_stack", "seed"]
