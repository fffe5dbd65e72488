"""Images: what each Dockerfile promises, and the script that builds them. The engine here is a stand-in that writes down how it was called."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aiplatform_hub import __version__
from aiplatform_hub.supervisor.environments import IMAGES_DIR

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "images" / "build"
NAMES = ("jupyterlab", "code-server", "pytorch", "tensorflow", "multi-gpu", "hub", "proxy")
SINGLE_USER = ("jupyterlab", "code-server", "pytorch", "tensorflow")
SHARED_DOCKERFILE = IMAGES_DIR / "session.Dockerfile"
LABELS = ("title", "description", "version", "source", "licenses")
PINNED_BASE = re.compile(r"docker\.io/library/python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}")
FAKE_ENGINE = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.calls"
case "$*" in
*"image inspect"*) exit 1 ;;
*"ENVIRONMENT=tensorflow"*) echo "no space left on device" >&2; exit 125 ;;
esac
"""


def instructions(name: str) -> list[str]:
    """Return the instructions that build an image, continued lines joined."""
    own = IMAGES_DIR / name / "Dockerfile"
    text = (own if own.exists() else SHARED_DOCKERFILE).read_text().replace("\\\n", " ").replace("${ENVIRONMENT}", name)
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def last(name: str, word: str) -> str:
    return [line.removeprefix(f"{word} ") for line in instructions(name) if line.startswith(f"{word} ")][-1]


def build(*arguments: object, path: str | None = None, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "500", "PATH": path or os.environ["PATH"]}
    return subprocess.run([sys.executable, BUILD, *map(str, arguments)], capture_output=True, text=True, timeout=seconds, check=False, env=environment)


@pytest.fixture
def engine(tmp_path):
    """Return a folder whose docker writes down its calls."""
    program = tmp_path / "docker"
    program.write_text(FAKE_ENGINE)
    program.chmod(0o755)
    return program


def calls(engine: Path) -> list[str]:
    return [line for line in Path(f"{engine}.calls").read_text().splitlines() if line.startswith(("build ", "push ", "save "))]


def test_every_folder_is_built_by_the_script():
    assert {folder.name for folder in IMAGES_DIR.iterdir() if folder.is_dir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_image_has_its_labels_and_our_version(name: str):
    assert f"ARG VERSION={__version__}" in instructions(name)
    label = last(name, "LABEL")
    assert re.findall(r"org\.opencontainers\.image\.(\w+)=", label) == list(LABELS)
    assert 'version="${VERSION}"' in label


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"multi-gpu"}))
def test_image_starts_from_the_pinned_base_as_user_1000(name: str):
    assert PINNED_BASE.fullmatch(instructions(name)[0].removeprefix("ARG BASE_IMAGE="))
    stages = [line.split() for line in instructions(name) if line.startswith("FROM ")]
    assert {stage[1] for stage in stages} - {stage[3] for stage in stages[:-1]} == {"${BASE_IMAGE}"}
    assert stages[-1] == ["FROM", "${BASE_IMAGE}"]
    assert last(name, "USER") == "1000:1000"


def test_all_images_pin_the_same_base():
    assert len({instructions(name)[0] for name in NAMES if name != "multi-gpu"}) == 1


def test_multi_gpu_is_built_on_our_pytorch_and_installs_nothing():
    assert instructions("multi-gpu")[0] == f"ARG BASE_IMAGE=aiplatform-hub/pytorch:{__version__}"
    assert not [line for line in instructions("multi-gpu") if line.startswith(("RUN ", "USER "))]


@pytest.mark.parametrize("name", SINGLE_USER)
def test_session_image_serves_on_8888_from_its_lock(name: str):
    assert last(name, "CMD") == '["jupyterhub-singleuser"]'
    assert last(name, "EXPOSE") == "8888"
    assert last(name, "WORKDIR") == "/home/jovyan"
    assert f" images/{name}/requirements.lock /build/" in " ".join(instructions(name))
    assert "sh /build/install-environment /opt/environment /build/requirements.lock" in " ".join(instructions(name))
    lock = (IMAGES_DIR / name / "requirements.lock").read_text()
    assert re.search(r"(?m)^jupyterhub==6\.1\.\d+ ", lock)
    assert re.search(r"(?m)^dumb-init==", lock)


def test_vs_code_is_told_to_use_a_unix_socket():
    assert "JUPYTER_VSCODE_PROXY_USE_SOCKET=1" in last("code-server", "ENV")


def test_jupyterlab_has_the_versions_of_the_hubs_own_environment():
    def pins(lock: Path) -> set[str]:
        return set(re.findall(r"(?m)^[A-Za-z0-9._-]+==\S+", lock.read_text()))

    own = {pin for pin in pins(IMAGES_DIR / "jupyterlab" / "requirements.lock") if not pin.startswith("dumb-init==")}
    assert own <= pins(ROOT / "requirements" / "hub.lock")


def test_nothing_is_installed_without_a_lock():
    scripts = [file for file in IMAGES_DIR.rglob("*") if file.is_file() and (file.name.endswith("Dockerfile") or file.read_bytes().startswith(b"#!/bin/sh"))]
    assert len(scripts) >= len(NAMES)
    for file in scripts:
        for line in file.read_text().replace("\\\n", " ").splitlines():
            if re.search(r"\bpip install\b", line):
                assert "--require-hashes" in line or "--no-index" in line, (file, line)
            if re.search(r"\bnpm (install|i|add)\b", line):
                raise AssertionError((file, line))


def test_context_of_every_image_is_what_it_needs_and_no_more():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    for name in NAMES:
        for line in instructions(name):
            if line.startswith("COPY ") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert source.split("/")[0] in allowed, (name, source)
                    assert (ROOT / source).exists(), (name, source)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_is_made_from_copies_only(name: str):
    """Podman and buildah reuse a layer without looking at a bound folder: after a change of a lock they would keep the old packages."""
    assert not [line for line in instructions(name) if "type=bind" in line]


def test_folder_without_a_dockerfile_is_built_by_the_shared_one(engine):
    done = build("--engine=docker", "jupyterlab", "code-server", path=str(engine.parent))
    assert done.returncode == 0, done.stderr
    shared, own = calls(engine)
    assert "--build-arg=ENVIRONMENT=jupyterlab " in shared
    assert shared.endswith("--file=images/session.Dockerfile .")
    assert "ENVIRONMENT" not in own
    assert own.endswith("--file=images/code-server/Dockerfile .")


def test_a_new_version_of_the_hub_is_one_small_layer():
    copies = [line for line in instructions("hub")[-20:] if line.startswith("COPY --from")]
    assert copies == ["COPY --from=environment /opt/hub /opt/hub", "COPY --from=project /project /opt/hub"]
    before_source = instructions("hub")[: instructions("hub").index("FROM packages AS project")]
    assert not [line for line in before_source if "aiplatform_hub" in line]


def test_help_names_every_image():
    done = build("--help")
    assert done.returncode == 0
    for name in NAMES:
        assert name in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pytorhc",), ("no image pytorhc", "pytorch")),
        (("--engine", "kaniko"), ("kaniko", "buildah")),
        (("--push", "hub"), ("--registry", "Docker Hub")),
        (("--registry", "https://registry.example.org"), ("without scheme",)),
        (("--registry", "Registry.example.org/AI"), ("lower case",)),
        (("--ca-bundle", "/nonexistent/bundle.pem"), ("/nonexistent/bundle.pem",)),
    ],
)
def test_wrong_use_is_exit_2_with_what_is_wrong(arguments, words):
    done = build(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_without_an_engine_each_one_is_named_with_why(tmp_path):
    done = build("hub", path=str(tmp_path))
    assert done.returncode == 1
    for word in ("docker is not installed", "podman is not installed", "buildah is not installed", "apt-get install buildah"):
        assert word in done.stderr


def test_dry_run_prints_the_commands_and_builds_nothing(engine):
    done = build("--engine", "docker", "--dry-run", "--registry", "registry.example.org/ai", "multi-gpu", path=str(engine.parent))
    assert done.returncode == 0, done.stderr
    assert f"--build-arg=BASE_IMAGE=registry.example.org/ai/pytorch:{__version__}" in done.stdout
    assert 'c.AIPlatform.image_prefix = "registry.example.org/ai/"' in done.stdout
    assert not Path(f"{engine}.calls").exists()


def test_pytorch_is_built_first_and_what_was_asked_for_is_pushed(engine):
    bundle = engine.parent / "authorities.pem"
    bundle.write_text("-\n")
    done = build(
        "--engine=docker", "--registry=localhost:5000/ai", "--base-image=base:1", f"--ca-bundle={bundle}", "--push", "multi-gpu", path=str(engine.parent)
    )
    assert done.returncode == 0, done.stderr
    first, second, pushed = calls(engine)
    assert "--build-arg=ENVIRONMENT=pytorch " in first
    assert "--build-arg=BASE_IMAGE=base:1 " in first
    assert f"--secret=id=ca-bundle,src={bundle} " in first
    assert f"--build-arg=BASE_IMAGE=localhost:5000/ai/pytorch:{__version__} " in second
    assert pushed == f"push localhost:5000/ai/multi-gpu:{__version__}"


def test_a_failed_build_ends_the_script_with_the_engines_words(engine):
    done = build("--engine=docker", "tensorflow", "hub", path=str(engine.parent))
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "Building tensorflow failed" in done.stderr
    assert len(calls(engine)) == 1


def test_list_of_contents_names_every_pin_of_the_locks(engine, tmp_path):
    done = build("--engine=docker", f"--sbom={tmp_path / 'sbom'}", "hub", path=str(engine.parent))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "sbom" / "hub.python.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert (document["metadata"]["component"]["name"], document["metadata"]["component"]["version"]) == ("aiplatform-hub/hub", __version__)
    locks = "".join((ROOT / lock).read_text() for lock in ("requirements/hub.lock", "images/hub/requirements.lock"))
    pins = {tuple(pin.split("==")) for pin in re.findall(r"(?m)^[A-Za-z0-9._-]+==[^\s;]+", locks)}
    assert {(component["name"], component["version"]) for component in document["components"]} == pins
    assert all(component["purl"].startswith("pkg:pypi/") for component in document["components"])
