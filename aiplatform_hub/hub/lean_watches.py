"""KubeSpawner's watches, keeping of each object only what a hub reads: a whole pod takes 50 kB of Python's memory."""

from __future__ import annotations

from typing import Any

from kubespawner.spawner import EventReflector, PodReflector
from traitlets import HasTraits, validate

UNREAD_OF_SPEC = ("tolerations", "initContainers")
UNREAD_OF_CONTAINER = ("env", "envFrom", "volumeMounts", "resources", "securityContext", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


def make_lean(resource: dict[str, Any]) -> dict[str, Any]:
    """Take from a pod or an event of the API what no code of a hub reads, and return it.

    That is who wrote which field, what a pod tolerates, and of a container its environment, mounts, resources, rights and probes.
    """
    resource["metadata"].pop("managedFields", None)
    spec = resource.get("spec") or {}
    _drop(spec, UNREAD_OF_SPEC)
    for container in spec.get("containers") or ():
        _drop(container, UNREAD_OF_CONTAINER)
    return resource


def _drop(part: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        part.pop(key, None)


class LeanResources(dict[str, dict[str, Any]]):
    """What a watch knows, by namespace and name; a watch also sets single ones."""

    def __setitem__(self, key: str, resource: dict[str, Any]) -> None:
        super().__setitem__(key, make_lean(resource))


class _Lean(HasTraits):
    """Makes what a watch has listed lean, and what it is told later."""

    @validate("resources")
    def _make_lean(self, proposal: Any) -> LeanResources:
        return LeanResources({key: make_lean(resource) for key, resource in proposal["value"].items()})


class LeanPodReflector(_Lean, PodReflector):
    """KubeSpawner's watch of pods."""


class LeanEventReflector(_Lean, EventReflector):
    """KubeSpawner's watch of pods' events."""


LEAN_WATCHES: dict[str, type[Any]] = {"pods": LeanPodReflector, "events": LeanEventReflector}
"""By the kind that KubeSpawner names."""
