"""What a pod and its events say while it starts, in plain words. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.domain.pods import CONTAINER
from aiplatform_hub.domain.units import format_bytes

Json = Mapping[str, Any]

IMAGE_TRIES = 3
"""How often an image may fail to come before a start gives up."""
PATIENCE_SECONDS = 15.0
"""How long a start waits for a secret, a claim or a configuration that is not there yet."""
ROOM_SECONDS = 60.0
"""How long a start waits for cores and memory of the one node that has its GPUs; sessions that just ended take a while to go."""
OVERDUE = timedelta(seconds=10)
"""How long after its grace a deleted pod may stay until its node counts as silent."""

_IMAGE_AT_ONCE = frozenset({"ErrImageNeverPull", "InvalidImageName"})
_IMAGE_LATER = frozenset({"ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable"})
_CONFIGURATION = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_SIZE = re.compile(r"Image size: (\d+) bytes")
_PULL_FAILED = "Failed to pull image"
_NO_STORAGE_CLASS = re.compile(r'storageclass\.storage\.k8s\.io "(?P<name>[^"]+)" not found')
_VOLUME = re.compile(r"persistent ?volume", re.IGNORECASE)
_LACKS = {"Insufficient cpu": "CPU cores", "Insufficient memory": "memory"}

ASK = "Ask an administrator."


@dataclass(frozen=True, slots=True)
class Step:
    """How far a start is."""

    percent: int
    words: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a session does not run."""

    sentence: str
    """For its owner."""
    raw: str
    """The cluster's own words, for an administrator."""
    is_hopeless: bool
    """Whether waiting longer is of no use."""


def step_of(  # noqa: PLR0911, PLR0913  one stage after the other; keyword-only
    pod: Json | None, events: Sequence[Json], *, seconds: float, wanted: str, program: str, image_bytes: int | None = None
) -> Step:
    """Return what a start does now.

    Parameters
    ----------
    pod
        None while the cluster has not shown it yet.
    events
        Of this pod, oldest first.
    seconds
        Time since the pod was asked for.
    wanted
        What it needs of a node, for example ``2 × A100``; empty if any node will do.
    program
        What starts in it, for a person.
    image_bytes
        Size of the image, if that is known.
    """
    so_far = f"({int(seconds)} s so far)"
    if pod is None:
        return Step(25, f"Asking the cluster for a place {so_far}")
    if not _node(pod):
        awaited = "the storage of your home folder" if is_about_volumes(unplaced_because(pod) or "") else f"a node{f' with {wanted}' if wanted else ''}"
        return Step(30, f"Waiting for {awaited} {so_far}")
    reasons = [event.get("reason") for event in events]
    if _container(pod) and "running" in (_container(pod).get("state") or {}):
        return Step(80, f"Starting {program} {so_far}")
    failed = failure_of(pod, events, seconds)
    if failed is not None:
        return Step(40, f"{failed.sentence} Trying again {so_far}")
    if "Pulling" in reasons and "Pulled" not in reasons:
        size = f"{format_bytes(image_bytes)}, " if image_bytes else ""
        return Step(50, f"Pulling the image ({size}{int(seconds)} s so far)")
    if {"Pulled", "Created", "Started"} & set(reasons):
        return Step(70, f"Starting {program} {so_far}")
    words = "Mounting your home folder" if _has_claim(pod) else "Preparing the place on its node"
    return Step(40, f"{words} {so_far}")


def image_bytes_of(events: Iterable[Json]) -> int | None:
    """Return the size of the image that was pulled, if the events tell."""
    found = [match for event in events if (match := _SIZE.search(str(event.get("message"))))]
    return int(found[-1].group(1)) if found else None


def failure_of(pod: Json | None, events: Sequence[Json], seconds: float) -> Failure | None:
    """Return why a start does not get on; None while nothing is wrong."""
    if pod is None:
        return None
    return _ended(pod) or _waiting(pod, events, seconds) or _unplaced(pod, events, seconds) or _unmounted(events)


def _ended(pod: Json) -> Failure | None:  # noqa: PLR0911 - a table of causes, in order of weight
    status = pod.get("status") or {}
    reason, raw = str(status.get("reason") or ""), _raw(status)
    if reason == "Evicted":
        return Failure("Its node put the session out for want of memory or disk. Start it again.", raw, is_hopeless=True)
    if reason in {"NodeLost", "NodeShutdown", "Shutdown", "Terminated"} or _is_put_out(pod):
        return Failure("The node of the session stopped answering. Start it again; it will go to another one.", raw, is_hopeless=True)
    if reason == "TopologyAffinityError":
        return Failure("Its node has no GPUs and cores left that are close enough to each other. Start it again, or choose fewer.", raw, is_hopeless=True)
    if reason.startswith("OutOf") or reason in {"UnexpectedAdmissionError", "NodeAffinity", "Preempting"}:
        return Failure("Its node had no room for the session any more. Start it again.", raw, is_hopeless=True)
    terminated = (_container(pod).get("state") or {}).get("terminated")
    if terminated is not None:
        return _exited(terminated)
    if pod["metadata"].get("deletionTimestamp"):
        return Failure("Somebody deleted the session's pod while it started. Start it again.", raw, is_hopeless=True)
    if status.get("phase") in {"Failed", "Succeeded"}:
        return Failure(f"The session's pod ended before it began. {ASK}", raw, is_hopeless=True)
    return None


def _exited(terminated: Json) -> Failure:
    raw, code = _raw(terminated), terminated.get("exitCode")
    if terminated.get("reason") == "OOMKilled":
        return Failure("The session needed more memory than it has. Start it again with more.", raw, is_hopeless=True)
    if terminated.get("reason") in {"StartError", "ContainerCannotRun"}:
        return Failure(f"The image does not have the program that the environment starts. {ASK}", raw, is_hopeless=True)
    return Failure(f"The server ended before it answered (exit code {code}).", raw or f"exit code {code}", is_hopeless=True)


def _waiting(pod: Json, events: Sequence[Json], seconds: float) -> Failure | None:
    waiting = (_container(pod).get("state") or {}).get("waiting") or {}
    reason, raw = str(waiting.get("reason") or ""), _raw(waiting)
    if reason in _IMAGE_AT_ONCE:
        return Failure(f"The environment's image is not on the node and may not be pulled. {ASK}", raw, is_hopeless=True)
    if reason in _IMAGE_LATER:
        tries = sum(int(event.get("count") or 1) for event in events if str(event.get("message")).startswith(_PULL_FAILED))
        return Failure(f"The environment's image could not be pulled. {ASK}", raw, is_hopeless=tries >= IMAGE_TRIES)
    if reason in _CONFIGURATION:
        return Failure(f"Something that the session's pod refers to is missing or wrong. {ASK}", raw, is_hopeless=seconds > PATIENCE_SECONDS)
    if reason == "CrashLoopBackOff":
        return Failure("The server ended again and again before it answered.", raw, is_hopeless=True)
    return None


def _unplaced(pod: Json, events: Sequence[Json], seconds: float) -> Failure | None:
    raw = unplaced_because(pod)
    if raw is None:
        return None
    if "volume node affinity conflict" in raw:
        return Failure(f"Your home folder's storage cannot be reached from the node that has what you asked for. {ASK}", raw, is_hopeless=False)
    if is_about_volumes(raw):
        return _unbound(raw, events, seconds)
    lacking = " and ".join(words for told, words in _LACKS.items() if told in raw)
    if lacking and _is_pinned(pod):
        sentence = f"The node that has what you asked for has too little free of: {lacking}. Choose less of it, or try again later."
        return Failure(sentence, raw, is_hopeless=seconds > ROOM_SECONDS)
    return Failure("No node has room for the session now. Try again later, or choose less.", raw, is_hopeless=False)


def unplaced_because(pod: Json) -> str | None:
    """Return why the scheduler finds no node for a pod, in its own words; None while it has said nothing of the kind."""
    scheduled: Json = next((c for c in (pod.get("status") or {}).get("conditions") or () if c["type"] == "PodScheduled" and c["status"] != "True"), {})
    return None if _node(pod) or scheduled.get("reason") != "Unschedulable" else str(scheduled.get("message") or "")


def is_about_volumes(words: str) -> bool:
    """Whether the scheduler's words are about the volume of a home folder."""
    return _VOLUME.search(words) is not None


def _unbound(raw: str, events: Sequence[Json], seconds: float) -> Failure:
    """Return why the claim of a home has no volume; its own events say more than the scheduler."""
    told = [str(event.get("message")) for event in events if (event.get("involvedObject") or {}).get("kind") == "PersistentVolumeClaim"]
    missing = next((match["name"] for message in reversed(told) if (match := _NO_STORAGE_CLASS.search(message))), None)
    words = ": ".join([raw, *told[-1:]])
    if missing is not None:
        sentence = f"The storage class {missing} for home folders does not exist. An administrator needs to name another."
        return Failure(sentence, words, is_hopeless=seconds > PATIENCE_SECONDS)
    is_missing = "persistentvolumeclaim" in raw.lower() and "unbound" not in raw
    return Failure(f"The storage of your home folder is not ready. {ASK}", words, is_hopeless=is_missing and seconds > PATIENCE_SECONDS)


def _is_pinned(pod: Json) -> bool:
    """Whether only one node will do: the one that has the session's GPUs."""
    affinity = ((pod.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms") or ()
    return bool(terms) and all(any(field["key"] == "metadata.name" for field in term.get("matchFields") or ()) for term in terms)


def _unmounted(events: Sequence[Json]) -> Failure | None:
    failed = next((event for event in reversed(events) if event.get("reason") in {"FailedMount", "FailedAttachVolume"}), None)
    if failed is None or any(event.get("reason") in {"Created", "Started"} for event in events):
        return None
    return Failure(f"Your home folder or another volume could not be mounted. {ASK}", str(failed.get("message")), is_hopeless=False)


def _raw(told: Json) -> str:
    return ": ".join(dict.fromkeys(str(word) for word in (told.get("reason"), told.get("message")) if word))


def _node(pod: Json) -> str:
    return str((pod.get("spec") or {}).get("nodeName") or "")


def _container(pod: Json) -> Json:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((status for status in statuses if status["name"] == CONTAINER), {})


def _is_put_out(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(
        c["type"] == "DisruptionTarget" and c["status"] == "True" and c.get("reason") in {"DeletionByTaintManager", "DeletionByPodGC"} for c in conditions
    )


def _has_claim(pod: Json) -> bool:
    return any("persistentVolumeClaim" in volume for volume in (pod.get("spec") or {}).get("volumes") or ())


def exit_status(pod: Json | None, now: datetime) -> int | None:
    """Return how a session ended, as the hub's ``poll`` says it; None while it runs, starts or ends in its time.

    A deleted pod whose time is over and whose node says nothing counts as ended: nobody is promised anything of it.
    """
    if pod is None:
        return 1
    terminated = (_container(pod).get("state") or {}).get("terminated")
    is_over = (pod.get("status") or {}).get("phase") in {"Failed", "Succeeded"}
    if terminated is not None and (is_over or (pod.get("spec") or {}).get("restartPolicy") == "Never"):
        return int(terminated.get("exitCode") or 0)
    deleted_at = pod["metadata"].get("deletionTimestamp")
    is_overdue = bool(deleted_at) and now > datetime.fromisoformat(deleted_at) + OVERDUE
    return 1 if is_over or is_overdue else None


def started_at(pod: Json) -> datetime | None:
    """Return when the session's container began, aware UTC."""
    at = ((_container(pod).get("state") or {}).get("running") or {}).get("startedAt")
    return datetime.fromisoformat(at) if at else None


def is_running(pod: Json) -> bool:
    """Whether every container of a pod runs and is ready, and nobody deleted it."""
    status = pod["status"]
    is_up = status.get("phase") == "Running" and bool(status.get("podIP")) and not pod["metadata"].get("deletionTimestamp")
    return is_up and all(container["ready"] for container in status.get("containerStatuses") or ())
