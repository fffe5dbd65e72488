"""What a pod of the API says about its session. Pure.

Kubernetes writes whole seconds, so a session of less than one may have no length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiplatform_hub.clients.kubernetes.nodes import NodeState, instant
from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT, CONTAINER, FINALIZER
from aiplatform_hub.domain.usage import SessionRecord

Json = Mapping[str, Any]

TERMINAL = frozenset({"Succeeded", "Failed"})
"""Phases that a pod does not leave."""
STUCK = timedelta(seconds=30)
"""How long a deleted pod may stay after its grace and after the last sign of life of its node, before a silent node counts as lost for it."""

HUSH = timedelta(seconds=120)
"""How long a kubelet may take between the end of a deleted pod's container and the pod's last state: it may have lost the API server meanwhile."""

SECOND = timedelta(seconds=1)
"""Kubernetes writes whole seconds, each cut off by itself: what came after may be written as the second before."""

_SIGNAL_BASE, _SIGNALS = 128, 64
_TOLD_TO_END = frozenset({0, 137, 143})
"""Exit codes of a container that was told to end."""
_BY_REASON = {
    "Evicted": EndCause.EVICTED,
    "Preempting": EndCause.PREEMPTED,
    "NodeLost": EndCause.NODE_LOST,
    "NodeShutdown": EndCause.EVICTED,
    "Shutdown": EndCause.EVICTED,
    "Terminated": EndCause.EVICTED,
}
"""Causes by the pod's own reason, which the kubelet writes."""
_BY_DISRUPTION = {
    "PreemptionByScheduler": EndCause.PREEMPTED,
    "EvictionByEvictionAPI": EndCause.EVICTED,
    "DeletionByTaintManager": EndCause.EVICTED,
    "TerminationByKubelet": EndCause.EVICTED,
    "DeletionByPodGC": EndCause.NODE_LOST,
}
"""Causes by the reason of the condition ``DisruptionTarget``."""


def is_ours(pod: Json) -> bool:
    """Whether it says that it is somebody's server."""
    return bool(_labels(pod).get("component") == COMPONENT)


def allocation_of(pod: Json) -> UUID | None:
    """Return the allocation that a pod was started for, or None if it names none."""
    try:
        return UUID(_labels(pod)[ALLOCATION_LABEL])
    except (KeyError, ValueError):
        return None


def has_finalizer(pod: Json) -> bool:
    """Whether it is kept until its end is in the ledger."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def node_of(pod: Json) -> str | None:
    """Return the name of the node that it is bound to."""
    return (pod.get("spec") or {}).get("nodeName") or None


def record_of(allocation_id: UUID, pod: Json, node: NodeState, now: datetime) -> SessionRecord:
    """Return what a pod says about its session.

    Parameters
    ----------
    node
        State of the node that it is bound to.
    now
        When this was known to be true, aware UTC.
    """
    container = _container(pod)
    started_at = _started_at(container)
    record = SessionRecord(allocation_id, started_at=started_at, is_kept=True)
    if started_at is None:
        return _not_begun(record, pod, node, now)
    end = _end(pod, container)
    if end is not None:
        return _ended(record, pod, node, end)
    if _is_lost(pod, node, now):
        return replace(record, cause=EndCause.NODE_LOST, last_seen_at=node.last_seen_at)
    seen = now if node.is_ready else node.last_seen_at
    is_running = _phase(pod) not in TERMINAL  # after that only the kubelet's last word is missing
    return replace(record, is_alive=is_running, is_runner_alive=True, last_seen_at=seen if is_running else None)


def failure_of(pod: Json) -> str:
    """Return in the API's own words why a pod does not run."""
    state = _container(pod).get("state") or {}
    told = state.get("waiting") or state.get("terminated") or {}
    status = pod.get("status") or {}
    scheduled: Json = next((c for c in status.get("conditions") or () if c["type"] == "PodScheduled" and c["status"] != "True"), {})
    words = [told.get("reason"), told.get("message"), status.get("reason"), status.get("message"), scheduled.get("message")]
    return ": ".join(dict.fromkeys(word for word in words if word)) or "The pod ended before its container began."


def _labels(pod: Json) -> Json:
    return pod["metadata"].get("labels") or {}


def _phase(pod: Json) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _container(pod: Json) -> Json:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == CONTAINER), {})


def _terminated(container: Json, which: str) -> Json | None:
    return (container.get(which) or {}).get("terminated")


def _started_at(container: Json) -> datetime | None:
    """Return the earliest start that the API still knows: a container that restarts is one session."""
    runs = ((container.get("state") or {}).get("running"), _terminated(container, "state"), _terminated(container, "lastState"))
    starts = [at for run in runs if run and (at := instant(run.get("startedAt")))]
    return min(starts, default=None)


def _not_begun(record: SessionRecord, pod: Json, node: NodeState, now: datetime) -> SessionRecord:
    """Image pull and queue: nobody pays for it, and it fails when nothing will begin any more."""
    is_dropped = _is_deleted(pod) and node_of(pod) is None
    if _phase(pod) in TERMINAL or is_dropped or _is_lost(pod, node, now):
        return replace(record, failure=failure_of(pod))
    return replace(record, is_runner_alive=True)


def _end(pod: Json, container: Json) -> Json | None:
    """Return how the session ended, by the kubelet; None while it may run on, or where nobody tells."""
    terminated = _terminated(container, "state")
    if terminated and (_phase(pod) in TERMINAL or _is_deleted(pod) or not _restarts(pod, terminated)):
        return terminated
    is_over = _phase(pod) in TERMINAL and not (container.get("state") or {}).get("running")
    return _terminated(container, "lastState") if is_over else None


def _restarts(pod: Json, terminated: Json) -> bool:
    policy = pod["spec"].get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and terminated.get("exitCode") != 0)


def _ended(record: SessionRecord, pod: Json, node: NodeState, end: Json) -> SessionRecord:
    finished_at = instant(end.get("finishedAt"))
    if finished_at is None:  # the kubelet came back and found no trace of it
        return replace(record, cause=_cause(pod, node, None) or EndCause.LOST, last_seen_at=node.last_seen_at)
    code = end.get("exitCode")
    signal = end.get("signal") or (code - _SIGNAL_BASE if code and _SIGNAL_BASE < code <= _SIGNAL_BASE + _SIGNALS else None)
    return replace(
        record,
        ended_at=finished_at,
        last_seen_at=finished_at,
        exit_code=code,
        signal=signal,
        is_out_of_memory=end.get("reason") == "OOMKilled",
        cause=_cause(pod, node, finished_at),
    )


def _cause(pod: Json, node: NodeState, finished_at: datetime | None) -> EndCause | None:
    """Return what put an end to the session from outside; None if it ended by itself."""
    status = pod.get("status") or {}
    if status.get("reason") in _BY_REASON:
        return _BY_REASON[status["reason"]]
    disruption: Json = next((c for c in status.get("conditions") or () if c["type"] == "DisruptionTarget" and c["status"] == "True"), {})
    cause = _BY_DISRUPTION.get(disruption.get("reason", ""))
    if cause is EndCause.EVICTED and disruption["reason"] == "DeletionByTaintManager" and not node.is_ready:
        return EndCause.NODE_LOST
    return EndCause.DELETED if cause is None and _ended_by_deletion(pod, finished_at) else cause


def _is_deleted(pod: Json) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _ended_by_deletion(pod: Json, finished_at: datetime | None) -> bool:
    """Whether the session ended because its pod was deleted, and was not deleted after it had ended."""
    if not _is_deleted(pod) or finished_at is None:
        return _is_deleted(pod)
    metadata = pod["metadata"]
    until, grace = datetime.fromisoformat(metadata["deletionTimestamp"]), metadata.get("deletionGracePeriodSeconds") or 0
    if grace:
        return finished_at > until - timedelta(seconds=grace) - SECOND
    # the kubelet's own last deletion, without grace, has covered up when the first was asked for
    code = (_terminated(_container(pod), "state") or {}).get("exitCode")
    return code in _TOLD_TO_END and finished_at >= until - HUSH


def _is_lost(pod: Json, node: NodeState, now: datetime) -> bool:
    """Whether nobody will write about it any more."""
    if node.is_ready or node_of(pod) is None:
        return False
    if node.is_lost or not _is_deleted(pod):
        return node.is_lost
    deleted_at = datetime.fromisoformat(pod["metadata"]["deletionTimestamp"])
    return now - max(deleted_at, node.last_seen_at or deleted_at) > STUCK
