"""Compare the pods of two hubs, so that nothing but the hubs differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

ALLOWED = (
    r"metadata\.finalizers",  # ours waits for the keeper
    r"spec\.affinity.*",  # ours is pinned to the node that was promised
    r"spec\.containers\[notebook\]\.env\[AIPLATFORM_SERVICE_URL\]",  # where JupyterLab asks whether the session is warned
    r"spec\.nodeName",  # the scheduler's choice
)
"""What may differ: what makes the chain a chain."""
IDS = {"aiplatform-hub/spawner", "aiplatform-hub/user-id"}
"""Labels whose value is a number of the hub's own."""
_OWN = re.compile(r"bench-(ours|stock)-\d+|bench-(ours|stock)|jupyter-\w+?(-[0-9a-f]{8})?$|[0-9a-f]{8}-[0-9a-f-]{27}|0{36}|:\d{4,5}/|[0-9a-f]{32}")


def differences(ours: Mapping[str, Any], stock: Mapping[str, Any]) -> list[str]:
    """Return one line for each place where two pods differ, names, ids and addresses apart."""
    mine, other = dict(_leaves("", _of(ours))), dict(_leaves("", _of(stock)))
    paths = sorted(path for path in mine.keys() | other.keys() if mine.get(path) != other.get(path))
    return [f"{path}: ours {mine.get(path)!r}, stock {other.get(path)!r}" for path in paths]


def unwanted(lines: list[str]) -> list[str]:
    """Return the differences that are not part of the chain."""
    return [line for line in lines if not any(re.match(pattern, line) for pattern in ALLOWED)]


def _of(pod: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: pod["metadata"].get(key) for key in ("labels", "annotations", "finalizers")}
    return {"metadata": metadata, "spec": pod["spec"]}


def _leaves(path: str, value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(f"{path}.{key}".lstrip("."), part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            key = part.get("name", index) if isinstance(part, Mapping) else index
            yield from _leaves(f"{path}[{key}]", part)
    else:
        yield path, "*" if path.rpartition("labels.")[2] in IDS else _OWN.sub("*", value) if isinstance(value, str) else value
