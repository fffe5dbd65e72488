"""What is inside an environment: packages that its template names, with the versions that a lock pins. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_NODE_MODULES = "node_modules/"


@dataclass(frozen=True, slots=True)
class Package:
    """One thing inside an environment."""

    name: str
    """As the catalogue writes it."""
    version: str | None
    """None where no lock says it, as in an image of the operator's own."""


def pinned_versions(requirements_lock: str) -> dict[str, str]:
    """Return the version of each Python package of a ``requirements.lock`` by its normal name."""
    return {normal_name(name): version for name, version in _PINNED.findall(requirements_lock)}


def node_versions(package_lock: str) -> dict[str, str]:
    """Return the version of each Node package of a ``package-lock.json`` by its normal name; none from a text that is not one."""
    try:
        packages = json.loads(package_lock)["packages"]
        return {
            normal_name(path.removeprefix(_NODE_MODULES)): str(entry["version"])
            for path, entry in packages.items()
            if path.startswith(_NODE_MODULES) and _NODE_MODULES not in path.removeprefix(_NODE_MODULES) and "version" in entry
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def contents_of(names: Iterable[str], versions: Mapping[str, str]) -> tuple[Package, ...]:
    """Return packages in the order of their names' list, each with its version where that is known."""
    return tuple(Package(name, versions.get(normal_name(name))) for name in names)


def normal_name(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
