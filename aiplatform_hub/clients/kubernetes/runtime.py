"""Sessions of a cluster, by the word of their pods."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from aiplatform_hub.clients.kubernetes.nodes import UNKNOWN, NodeState, node_state, silent_since
from aiplatform_hub.clients.kubernetes.pods import has_finalizer, node_of, record_of
from aiplatform_hub.domain.usage import Records, SessionRecord
from aiplatform_hub.errors import AIPlatformError

STOP_MARGIN_SECONDS = 5
"""How long after its grace a stopped pod is waited for."""
LEFTOVER = timedelta(seconds=120)
"""How long a pod that ended by itself stays for its hub to look at, before it is deleted."""
_LOOK_SECONDS = 0.2
_LOG = logging.getLogger(__name__)


class PodSource(Protocol):
    """Where the pods of people's servers are known from. Methods are called in threads; pods and nodes are plain JSON of the API."""

    def pods(self, ids: Collection[UUID] | None) -> Mapping[UUID, Mapping[str, Any]] | None:
        """Return pods by their allocation, all of them for None; None when they are not known just now."""

    def nodes(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the nodes by name; nothing when they are not known, and then no node is ever lost."""

    def node_lease_renewed(self, node: str) -> datetime | None:
        """Return when a node last renewed its lease, aware UTC; None when that is not known."""

    def delete(self, pod: Mapping[str, Any], grace_seconds: float) -> None:
        """Delete a pod. Idempotent."""

    def release(self, pod: Mapping[str, Any]) -> None:
        """Remove our finalizer from a pod whose end is in the ledger. Idempotent."""


class PodRuntime:
    """Reads what kubelets wrote; a :class:`~aiplatform_hub.operations.session_runtime.SessionRuntime`.

    Parameters
    ----------
    node_lost_after
        How long a node may be silent before its sessions count as ended.
    can_tell_gone
        Whether a session without a pod is gone. Only who made sure that this is the cluster of the database can tell;
        to others it is as if it could not be read.
    """

    def __init__(self, *, source: PodSource, clock: Callable[[], datetime], node_lost_after: timedelta, can_tell_gone: bool = True) -> None:
        self._source = source
        self._clock = clock
        self._node_lost_after = node_lost_after
        self._can_tell_gone = can_tell_gone
        self._versions: dict[UUID, str] = {}

    def changed(self) -> frozenset[UUID]:
        """Return the sessions whose pod is new, different or gone since the last call."""
        pods = self._source.pods(None)
        if pods is None:
            return frozenset()
        versions = {id_: pod["metadata"]["resourceVersion"] for id_, pod in pods.items()}
        before, self._versions = self._versions, versions
        return frozenset(id_ for id_ in versions.keys() | before.keys() if versions.get(id_) != before.get(id_))

    def forget(self, ids: Iterable[UUID]) -> None:
        """Let the next :meth:`changed` name these sessions again."""
        for id_ in ids:
            self._versions[id_] = ""

    def known(self) -> tuple[UUID, ...]:
        """Return every session that has a pod."""
        return tuple(self._source.pods(None) or ())

    def records(self, ids: Iterable[UUID]) -> Records:
        """Return what the pods say; a session without one is gone."""
        asked = frozenset(ids)
        pods = self._source.pods(asked) if asked else {}
        if pods is None:
            return Records(unreadable=asked)
        nodes = self._node_states(pods.values())
        now = self._clock()
        found = {id_: self._record(id_, pods[id_], nodes, now) for id_ in asked & pods.keys()}
        gone = asked - pods.keys()
        if not self._can_tell_gone:
            return Records(found, unreadable=gone)
        return Records(found | {id_: SessionRecord(id_, is_gone=True) for id_ in gone})

    def stop(self, allocation_id: UUID, grace_seconds: float) -> None:
        """Delete a session's pod and wait for its end where its node answers."""
        until = time.monotonic() + grace_seconds + STOP_MARGIN_SECONDS
        pods = self._source.pods((allocation_id,)) or {}
        if allocation_id not in pods:
            return
        try:
            self._source.delete(pods[allocation_id], grace_seconds)
        except AIPlatformError as error:
            _LOG.warning("The pod of session %s could not be deleted; trying again later: %s", allocation_id, error)
            return
        while self._is_ending(allocation_id) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def settled(self, ids: Iterable[UUID]) -> None:
        """Release the pods of sessions that the ledger has closed; delete those that nobody needs."""
        asked = frozenset(ids)
        pods = (self._source.pods(asked) if asked else None) or {}
        records = self.records(pods).found
        for id_, pod in pods.items():
            try:
                if id_ in records and self._is_leftover(records[id_], pod):
                    self._source.delete(pod, 0 if records[id_].started_at is None else STOP_MARGIN_SECONDS)
                if has_finalizer(pod):
                    self._source.release(pod)
            except AIPlatformError as error:
                _LOG.warning("The pod of session %s could not be let go; trying again later: %s", id_, error)

    def _is_leftover(self, record: SessionRecord, pod: Mapping[str, Any]) -> bool:
        if pod["metadata"].get("deletionTimestamp"):
            return False
        return record.ended_at is None or self._clock() - record.ended_at > LEFTOVER

    def _is_ending(self, allocation_id: UUID) -> bool:
        record = self.records((allocation_id,)).found.get(allocation_id)
        return record is not None and (record.is_alive or record.is_runner_alive)

    def _record(self, allocation_id: UUID, pod: Mapping[str, Any], nodes: Mapping[str, NodeState], now: datetime) -> SessionRecord:
        return record_of(allocation_id, pod, nodes.get(node_of(pod) or "", UNKNOWN), now)

    def _node_states(self, pods: Iterable[Mapping[str, Any]]) -> dict[str, NodeState]:
        """Return the states of the nodes that these pods are bound to."""
        nodes = self._source.nodes()
        if not nodes:
            return {}
        now = self._clock()
        states = {}
        for name in {bound for pod in pods if (bound := node_of(pod))}:
            node = nodes.get(name)
            is_silent = node is None or silent_since(node) is not None
            renewed_at = self._source.node_lease_renewed(name) if is_silent else None
            states[name] = node_state(node, renewed_at=renewed_at, now=now, lost_after=self._node_lost_after)
        return states
