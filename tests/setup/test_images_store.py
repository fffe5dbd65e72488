"""What the cluster tests keep of image builds: archives by their sources, and the layers below the source. Buildah is a stand-in here."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from tests.cluster.machinery.layout import REPOSITORY
from tests.cluster.project_images import build_store, project_archive, source_digest

FAKE_BUILDAH = """#!/bin/sh
printf '%s\\n' "$*" >>"$0.calls"
for last; do :; done
case "$*" in
*--storage-driver=overlay*info) [ ! -e "$0.no-overlay" ] ;;
*" build "*) [ ! -e "$0.fails" ] || exit 1; for option; do case $option in --root=*) mkdir -p "${option#--root=}" ;; esac; done ;;
*" push "*) file=${last#docker-archive:}; : >"${file%%:*}" ;;
esac
"""


@pytest.fixture
def buildah(tmp_path, monkeypatch):
    """Return a buildah that writes down its calls, first on the path."""
    program = tmp_path / "programs" / "buildah"
    program.parent.mkdir()
    program.write_text(FAKE_BUILDAH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


@pytest.fixture
def folder(tmp_path):
    """Return a cache folder with a base."""
    path = tmp_path / "cache"
    path.mkdir()
    (path / "aiplatform-base-0123456789abcdef.tar").touch()
    return path


@pytest.fixture
def repository(tmp_path):
    """Return a copy of what goes into images."""
    copy = tmp_path / "repository"
    for name in ("images", "aiplatform_hub"):
        shutil.copytree(REPOSITORY / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".dockerignore", "jupyterhub_config.py", "pyproject.toml", "LICENSE", "README.md", "requirements/hub.lock"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, copy / name)
    return copy


def builds(buildah: Path) -> list[str]:
    return [line for line in Path(f"{buildah}.calls").read_text().splitlines() if " build " in line]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("buildah-*") if path.is_dir()}


def test_hub_keeps_its_layers_for_the_next_build(buildah, folder):
    archive = project_archive("hub", folder)
    assert archive.parent == folder
    assert archive.name.startswith("project-hub-")
    (built,) = builds(buildah)
    assert " --layers " in built
    assert f"--root={folder}/buildah-kept/overlay" in built
    assert names(folder) == {"buildah-kept"}


def test_other_images_are_built_once_and_leave_nothing_but_their_archive(buildah, folder):
    archive = project_archive("jupyterlab", folder)
    assert project_archive("jupyterlab", folder) == archive
    assert len(builds(buildah)) == 1
    assert "--layers" not in builds(buildah)[0]
    assert names(folder) == set()


def test_vfs_serves_where_there_is_no_overlay(buildah, folder):
    Path(f"{buildah}.no-overlay").touch()
    project_archive("hub", folder)
    assert f"--storage-driver=vfs --root={folder}/buildah-kept/vfs" in builds(buildah)[0]


def test_after_a_failed_build_the_next_one_starts_afresh(buildah, folder):
    project_archive("hub", folder)
    (folder / "buildah-kept" / "layer").touch()
    Path(f"{buildah}.fails").touch()
    next(folder.glob("project-hub-*")).unlink()
    with pytest.raises(RuntimeError, match="images/build"):
        project_archive("hub", folder)
    assert names(folder) == set()


def test_store_that_has_grown_too_large_is_dropped(buildah, folder):
    for kept_bytes, kept in ((200_000, {"buildah-kept"}), (50_000, set())):
        with build_store(folder, keep=True, kept_bytes=kept_bytes):
            (folder / "buildah-kept").mkdir(exist_ok=True)
            (folder / "buildah-kept" / "layer").write_bytes(b"x" * 100_000)
        assert names(folder) == kept


def test_what_a_killed_build_left_goes_with_the_next(buildah, folder):
    (folder / "buildah-once-killed" / "overlay").mkdir(parents=True)
    with build_store(folder, keep=False):
        assert len(names(folder)) == 1
    assert names(folder) == set()


def test_one_build_at_a_time_uses_the_stores(buildah, folder):
    with build_store(folder, keep=False), (folder / "buildah.lock").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("changed", "rebuilt"),
    [
        ("aiplatform_hub/errors.py", {"hub"}),
        ("requirements/hub.lock", {"hub"}),
        ("aiplatform_hub/proxy/package-lock.json", {"hub", "proxy"}),
        ("images/code-server/package-lock.json", {"hub", "code-server"}),
        ("images/pytorch/requirements.lock", {"hub", "pytorch", "multi-gpu"}),
        ("images/session.Dockerfile", {"hub", "jupyterlab", "pytorch", "multi-gpu"}),
        ("images/add-person", {"hub", "proxy", "code-server", "jupyterlab", "pytorch", "multi-gpu"}),
    ],
)
def test_a_change_rebuilds_what_copies_it_and_nothing_else(repository, changed, rebuilt):
    images = ("hub", "proxy", "code-server", "jupyterlab", "pytorch", "multi-gpu")
    before = {name: source_digest(name, repository) for name in images}
    with (repository / changed).open("a") as file:
        file.write("\n")
    assert {name for name in images if source_digest(name, repository) != before[name]} == rebuilt
