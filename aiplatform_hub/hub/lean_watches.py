"""KubeSpawner's watches, keeping of each object only what a hub reads: a pod is 50 kB in Python, and 7 without what is only the cluster's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubespawner.spawner import EventReflector, PodReflector
from traitlets import HasTraits, validate

UNREAD_METADATA = frozenset({"managedFields"})
UNREAD_SPEC = frozenset({"tolerations", "initContainers"})
READ_OF_CONTAINER = frozenset({"name", "image", "ports"})


def lean(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod or an event of the API without what no code of a hub reads.

    Left out are who wrote which field, what a pod tolerates, and of a container all but its name, image and ports.
    """
    kept = {**resource, "metadata": _without(resource["metadata"], UNREAD_METADATA)}
    if "spec" in resource:
        containers = [{key: value for key, value in container.items() if key in READ_OF_CONTAINER} for container in resource["spec"].get("containers") or ()]
        kept["spec"] = {**_without(resource["spec"], UNREAD_SPEC), "containers": containers}
    return kept


def _without(part: Mapping[str, Any], keys: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in keys}


class LeanResources(dict[str, dict[str, Any]]):
    """What a watch knows, by namespace and name; a watch also sets single ones."""

    def __setitem__(self, key: str, resource: dict[str, Any]) -> None:
        super().__setitem__(key, lean(resource))


class _Lean(HasTraits):
    """Makes what a watch has listed lean, and what it is told later."""

    @validate("resources")
    def _make_lean(self, proposal: Any) -> LeanResources:
        return LeanResources({key: lean(resource) for key, resource in proposal["value"].items()})


class LeanPodReflector(_Lean, PodReflector):
    """KubeSpawner's watch of pods."""


class LeanEventReflector(_Lean, EventReflector):
    """KubeSpawner's watch of pods' events."""


LEAN_WATCHES: dict[str, type[Any]] = {"pods": LeanPodReflector, "events": LeanEventReflector}
"""By the kind that KubeSpawner names."""
