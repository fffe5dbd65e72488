"""What a node of the API says about the sessions on it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeState:
    """Whether a node still answers for its pods."""

    is_ready: bool = True
    is_lost: bool = False
    """It has been silent for so long that its sessions count as ended."""
    last_seen_at: datetime | None = None
    """Last renewal of its lease, aware UTC; None if it is not known."""


UNKNOWN = NodeState()
"""A node of which nothing is known is not lost."""


def silent_since(node: Mapping[str, Any]) -> datetime | None:
    """Return since when a node is not Ready, aware UTC; None while it is."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    ready = next((condition for condition in conditions if condition["type"] == "Ready"), None)
    if ready is None or ready["status"] == "True":
        return None
    return instant(ready.get("lastTransitionTime"))


def last_heartbeat(node: Mapping[str, Any]) -> datetime | None:
    """Return when a node last told its state by itself, which is seldom; its lease knows better."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((instant(condition.get("lastHeartbeatTime")) for condition in conditions if condition["type"] == "Ready"), None)


def node_state(node: Mapping[str, Any] | None, *, renewed_at: datetime | None, now: datetime, lost_after: timedelta) -> NodeState:
    """Return the state of a node that a session was bound to.

    Parameters
    ----------
    node
        As the API has it; None if the API has it no more, or not yet: that alone is no loss.
    renewed_at
        Last renewal of its lease; asked of nodes that are not Ready alone. A node that renews it lives, whatever its condition says: the
        condition comes back seconds after the lease when the API server was away, and is False while a node complains.
    """
    if node is None:
        return NodeState(is_ready=False, last_seen_at=renewed_at)
    since = silent_since(node)
    if since is None:
        return UNKNOWN
    silent_from = max(since, renewed_at or since)
    return NodeState(is_ready=False, is_lost=now - silent_from >= lost_after, last_seen_at=renewed_at or last_heartbeat(node))


def instant(text: str | None) -> datetime | None:
    """Return an instant of the API, aware UTC. The API writes the zero of some clocks where nothing happened."""
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return at if at.year > 1970 else None  # noqa: PLR2004 - the year of the zero
