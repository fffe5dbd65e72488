"""`aiplatform catalog add-image` with pods of a real cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from tests.cluster.machinery.client import wait_for
from tests.cluster.machinery.configuration import PAUSE_IMAGE
from tests.cluster.machinery.images import BASE_IMAGE, SINGLEUSER_IMAGE

pytestmark = pytest.mark.own_cluster  # another cluster has not these images


@pytest.fixture
def add(cluster, namespace, tmp_path):
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")

    def run(*arguments):
        program = "from aiplatform_hub.cli import main; main(prog_name='aiplatform')"
        where = ("--place", "cluster", "--namespace", namespace, "--catalog-dir", str(tmp_path / "catalog"))
        command = [sys.executable, "-c", program, "catalog", "add-image", *arguments, *where]
        environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
        assert "Traceback" not in done.stderr
        wait_for(lambda: not cluster.get("pods", "-n", namespace)["items"], 30, "the pod of the trial is gone")
        return done

    return run


def test_an_image_is_tried_in_a_restricted_pod_and_comes_into_the_catalogue(add, tmp_path):
    done = add("course", SINGLEUSER_IMAGE, "--gpus", "0-2")
    assert done.returncode == 0, done.stderr
    assert "jupyterhub-singleuser 6." in done.stdout
    assert load_catalog([tmp_path / "catalog"]).environment_templates["course"].container_image == SINGLEUSER_IMAGE


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (BASE_IMAGE, "no jupyterhub-singleuser"),
        (PAUSE_IMAGE, 'exec: "sh"'),
        ("localhost/there-is-no-such-image:test", "cannot be pulled"),
    ],
)
def test_an_image_that_cannot_be_used_is_told_why(add, tmp_path, image, words):
    done = add("course", image)
    assert done.returncode == 1
    assert words in done.stderr
    assert not (tmp_path / "catalog" / "environment_templates.yaml").exists()
