"""Which versions an environment has: read from the lock that it was built from, or is built from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import aiplatform_hub
from aiplatform_hub.domain.catalog import EnvironmentTemplate
from aiplatform_hub.domain.contents import Package, contents_of, node_versions, normal_name, pinned_versions

IMAGES_DIR = Path(aiplatform_hub.__file__).parent / "images"
_REQUIREMENTS, _NODE = "requirements.lock", "package-lock.json"


def contents(template: EnvironmentTemplate, environments_dir: Path, *, is_cluster: bool, images_dir: Path = IMAGES_DIR) -> tuple[Package, ...]:
    """Return what a template says is inside, with versions. Reads files; each lock once as long as it does not change.

    On a machine the built environment's own lock counts, else the one that it would be built from; a template without an image
    runs in the hub's own Python. In a cluster the lock of the image's folder counts; of an image from elsewhere no version is known.
    """
    if not template.contents:
        return ()
    if not is_cluster and template.image is None:
        return contents_of(template.contents, _own_versions(template.contents))
    image = image_of(template, is_cluster=is_cluster)
    built = environments_dir / (image or "") / "share" / "aiplatform"
    folders = [built] if not is_cluster and (built / _REQUIREMENTS).is_file() else []
    return contents_of(template.contents, _versions_in([*folders, images_dir / image][0]) if image else {})


def image_of(template: EnvironmentTemplate, *, is_cluster: bool) -> str | None:
    """Return the folder under ``images/`` that a template's environment is built from; None for an image from elsewhere."""
    if not is_cluster or template.container_image is None:
        return template.image
    is_reference = "/" in template.container_image or ":" in template.container_image
    return None if is_reference else _lock_folder(template)


def _lock_folder(template: EnvironmentTemplate) -> str | None:
    """Return the container image's folder; one without a lock of its own, such as ``multi-gpu``, adds to the template's ``image``."""
    name = template.container_image
    return name if name and (IMAGES_DIR / name / _REQUIREMENTS).is_file() else template.image


@cache
def _own_versions(names: tuple[str, ...]) -> Mapping[str, str]:
    found = {}
    for name in names:
        try:
            found[normal_name(name)] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _versions_in(folder: Path) -> Mapping[str, str]:
    return {**_read(folder / _REQUIREMENTS), **_read(folder / _NODE)}


def _read(path: Path) -> Mapping[str, str]:
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return {}
    return _parsed(path, changed)


@cache
def _parsed(path: Path, changed_ns: int) -> Mapping[str, str]:  # noqa: ARG001  the key that makes a changed lock be read again
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return {}
    return node_versions(text) if path.name == _NODE else pinned_versions(text)
