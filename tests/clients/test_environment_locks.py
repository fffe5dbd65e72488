"""Versions come from the lock that the environment is, or would be, built from."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.clients.environment_locks import IMAGES_DIR, contents, image_of
from aiplatform_hub.domain.contents import Package, pinned_versions

TEMPLATES = load_catalog().environment_templates


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("is_cluster", [False, True])
def test_everything_that_comes_with_the_package_has_a_version_on_its_card(tmp_path: Path, name: str, *, is_cluster: bool) -> None:
    inside = contents(TEMPLATES[name], tmp_path, is_cluster=is_cluster)
    assert inside
    assert [package.name for package in inside if package.version is None] == []


def test_version_is_the_locks(tmp_path: Path) -> None:
    locked = pinned_versions((IMAGES_DIR / "pytorch" / "requirements.lock").read_text())
    assert contents(TEMPLATES["pytorch"], tmp_path, is_cluster=False)[0] == Package("torch", locked["torch"])


def test_built_environment_says_its_own_version_and_a_new_build_is_seen(tmp_path: Path) -> None:
    lock = tmp_path / "pytorch" / "share" / "aiplatform" / "requirements.lock"
    lock.parent.mkdir(parents=True)
    for number in ("1.0.0", "1.0.1"):
        lock.write_text(f"torch=={number}\n")
        inside = contents(TEMPLATES["pytorch"], tmp_path, is_cluster=False)
        assert inside[:2] == (Package("torch", number), Package("torchvision", None))
        lock.unlink()


def test_template_without_an_image_shows_the_hubs_own_python(tmp_path: Path) -> None:
    assert contents(TEMPLATES["jupyterlab"], tmp_path, is_cluster=False)[0] == Package("jupyterlab", version("jupyterlab"))
    unknown = replace(TEMPLATES["jupyterlab"], contents=("no-such-package",))
    assert contents(unknown, tmp_path, is_cluster=False) == (Package("no-such-package", None),)


def test_image_from_elsewhere_has_no_version(tmp_path: Path) -> None:
    foreign = replace(TEMPLATES["pytorch"], container_image="quay.io/lab/pytorch:2")
    assert image_of(foreign, is_cluster=True) is None
    assert contents(foreign, tmp_path, is_cluster=True)[0] == Package("torch", None)
