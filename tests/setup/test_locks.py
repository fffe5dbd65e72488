"""Locks: hashes for everything, no registry's address, up to date with their loose requirements, images shipped."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.supervisor.environments import IMAGES_DIR
from aiplatform_hub.supervisor.proxy_program import PACKAGE_DIR

ROOT = Path(__file__).parents[2]
PYTHON_LOCKS = sorted([*ROOT.glob("requirements/*.lock"), *ROOT.glob("images/*/requirements.lock"), PACKAGE_DIR / "node.lock"])
NODE_LOCKS = sorted([*ROOT.glob("images/*/package-lock.json"), PACKAGE_DIR / "package-lock.json"])


def name(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("lock", PYTHON_LOCKS, ids=name)
def test_python_lock_has_hashes_and_no_address(lock: Path):
    text = lock.read_text()
    assert "http" not in re.sub(r"(?m)^\s*#.*$|^[a-z0-9.-]*http[a-z0-9-]*==", "", text)
    assert "--index-url" not in text
    pins = re.findall(r"(?m)^[A-Za-z0-9._-]+(?:\[[^\]]*\])?==.*$", text)
    assert len(pins) > 0
    assert all(pin.endswith("\\") for pin in pins), "a pin without hashes"


@pytest.mark.parametrize("lock", NODE_LOCKS, ids=name)
def test_node_lock_has_integrity_and_no_registry(lock: Path):
    packages = json.loads(lock.read_text())["packages"]
    installed = {path: package for path, package in packages.items() if path and not package.get("link")}
    assert installed
    assert not [path for path, package in installed.items() if "resolved" in package]
    assert not [path for path, package in installed.items() if "integrity" not in package]


def test_hub_and_test_lock_agree_and_cover_the_project():
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"(?m)^[A-Za-z0-9._-]+==\S+", (ROOT / "requirements" / lock).read_text()))

    assert pins("hub.lock") <= pins("test.lock")
    locked = {pin.partition("==")[0] for pin in pins("hub.lock")}
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in wanted} <= locked


def test_every_image_of_the_catalogue_has_its_files():
    images = {template.image for template in load_catalog().environment_templates.values() if template.image}
    # A machine runs the others' sessions in the hub's own environment (jupyterlab) or in pytorch's (multi-gpu), and needs no image of hub and proxy.
    assert images == {folder.name for folder in IMAGES_DIR.iterdir() if folder.is_dir()} - {"jupyterlab", "multi-gpu", "hub", "proxy"}
    for image in images:
        assert {"requirements.in", "requirements.lock", "jupyter_server_config.json"} <= {file.name for file in (IMAGES_DIR / image).iterdir()}
