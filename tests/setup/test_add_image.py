"""`aiplatform catalog add-image` on one machine. The engine is a stand-in; tests/cluster has the real thing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from installation import AIPLATFORM

from aiplatform_hub.catalog.loader import load_catalog

ENGINE = """#!/bin/sh
[ "$1" != ps ] || exit 0
printf '%s\\n' "$*" >>"$0.calls"
case "$*" in
*registry.example.org/missing*) echo "manifest unknown" >&2; exit 125 ;;
*registry.example.org/no-shell*) echo 'exec: "sh": not found' >&2; exit 127 ;;
*registry.example.org/silent*) exec sleep 60 ;;
*registry.example.org/old*) printf 'jupyterhub=4.1.6\\nend=\\n' ;;
*registry.example.org/plain*) printf 'python=3.11.2\\nend=\\n' ;;
*registry.example.org/server*) printf 'jupyterhub=6.1.1\\npython=3.12.13\\nend=\\n' ;;
*) printf 'jupyterhub=6.1.1\\njupyterlab=4.6.6\\npython=3.12.13\\nend=\\n' ;;
esac
"""


@pytest.fixture
def engine(tmp_path):
    program = tmp_path / "podman"
    program.write_text(ENGINE)
    program.chmod(0o755)
    return program


@pytest.fixture
def add(engine, tmp_path):
    def run(*arguments: object, path: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [AIPLATFORM, "catalog", "add-image", *map(str, arguments), "--place", "machine", "--catalog-dir", str(tmp_path / "catalog")]
        environment = {**os.environ, "PATH": path or f"{engine.parent}:{os.environ['PATH']}"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        return done

    return run


def calls(engine: Path) -> list[str]:
    file = Path(f"{engine}.calls")
    return [line for line in file.read_text().splitlines() if line.startswith("run ")] if file.exists() else []


def test_an_image_is_tried_as_user_1000_and_comes_into_the_catalogue(add, engine, tmp_path):
    done = add("course", "registry.example.org/course:1", "--gpus", "0-2:1", "--memory-gib", "8", "--allowed-group", "stats")
    assert done.returncode == 0, done.stderr
    assert "jupyterhub-singleuser 6.1.1, JupyterLab 4.6.6, Python 3.12.13" in done.stdout
    assert "--user 1000:1000" in calls(engine)[0]
    template = load_catalog([tmp_path / "catalog"]).environment_templates["course"]
    assert template.container_image == "registry.example.org/course:1"
    assert (template.gpus.minimum, template.gpus.maximum, template.gpus.default) == (0, 2, 1)
    assert (template.memory_gib.minimum, template.memory_gib.maximum) == (8, 8)
    assert template.allowed_groups == ("stats",)


def test_a_known_name_is_not_overwritten_unless_told(add, engine, tmp_path):
    assert add("course", "registry.example.org/course:1").returncode == 0
    for name in ("pytorch", "course"):
        done = add(name, "registry.example.org/course:2")
        assert done.returncode == 1
        assert "--replace" in done.stderr
        assert len(calls(engine)) == 1, "nothing may be tried in vain"
    assert add("course", "registry.example.org/course:2", "--replace").returncode == 0
    assert load_catalog([tmp_path / "catalog"]).environment_templates["course"].container_image.endswith(":2")


@pytest.mark.parametrize(
    ("image", "code", "words"),
    [
        ("registry.example.org/missing:1", 1, ("cannot be pulled: manifest unknown", "podman pull", "podman login")),
        ("registry.example.org/no-shell:1", 1, ("does not start", "sh")),
        ("registry.example.org/old:1", 1, ("4.1.6 is too old", "pip install")),
        ("registry.example.org/plain:1", 1, ("no jupyterhub-singleuser",)),
        ("registry.example.org/silent:1", 3, ("did not answer within 2 s", "--timeout-seconds")),
        ("Registry.example.org/Upper:1", 2, ("is no image",)),
    ],
)
def test_an_image_that_cannot_be_used_is_told_why_and_not_written(add, tmp_path, image, code, words):
    done = add("course", image, "--timeout-seconds", "2")
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert not (tmp_path / "catalog" / "environment_templates.yaml").exists()


@pytest.mark.parametrize("arguments", [("--gpus", "x"), ("--gpus", "0-"), ("--memory-gib", "-1"), ("--timeout-seconds", "0")])
def test_wrong_use_is_exit_2(add, engine, arguments):
    done = add("course", "registry.example.org/course:1", *arguments)
    assert done.returncode == 2
    assert "Usage" in done.stderr
    assert calls(engine) == []


@pytest.mark.parametrize(("arguments", "words"), [(("--gpus", "4-0"), "max is 0 but min is 4"), (("--gpu-type", "h1000"), "did you mean h100")])
def test_an_entry_that_the_catalogue_refuses_is_told_before_anything_is_tried(add, engine, arguments, words):
    done = add("course", "registry.example.org/course:1", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert calls(engine) == []


def test_dry_run_prints_the_entry_and_writes_nothing(add, tmp_path):
    done = add("course", "registry.example.org/server:1", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["file"] is None
    assert printed["entry"]["default_url"] == "/tree", "without JupyterLab"
    assert printed["found"] == {"jupyterhub": "6.1.1", "jupyterlab": None, "python": "3.12.13"}
    assert not (tmp_path / "catalog").exists()


def test_without_an_engine_the_cluster_is_named(add, tmp_path):
    (tmp_path / "empty").mkdir()
    done = add("course", "registry.example.org/course:1", path=str(tmp_path / "empty"))
    assert done.returncode == 3
    assert "apt-get install podman" in done.stderr
    assert "--place cluster" in done.stderr


def test_showing_the_catalogue_still_needs_the_hubs_address(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIPLATFORM_")}
    done = subprocess.run([AIPLATFORM, "catalog"], capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 2
    assert "AIPLATFORM_URL" in done.stderr
