"""Classes for which GPUs are kept: whose a session makes room for, and which are on or to come. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from aiplatform_hub.domain.policy import ClassReservation


@dataclass(frozen=True, slots=True)
class ClassEnd:
    """When a session ends for a class, and whose class it is."""

    at: datetime
    """Aware UTC."""
    projects: tuple[str, ...]
    """Empty where the policy does not name it any more."""


def class_end(at: datetime | None, project: str, windows: Iterable[ClassReservation]) -> ClassEnd | None:
    """Return for whose class a session makes room at an instant; None where it makes room for none.

    Parameters
    ----------
    at
        What it was told at its launch.
    project
        Its own project, whose classes it may stay for.
    windows
        The policy's.
    """
    if at is None:
        return None
    begins = at.timestamp()
    return ClassEnd(at, tuple(sorted({w.project for w in windows if w.start_seconds == begins and w.project != project})))


def of_now_and_later(windows: Iterable[ClassReservation], now: datetime) -> tuple[ClassReservation, ...]:
    """Return the windows that are not over, the first to begin first."""
    seconds = now.timestamp()
    return tuple(sorted((w for w in windows if w.end_seconds > seconds), key=lambda w: (w.start_seconds, w.project)))


def instant_of(seconds: float) -> datetime:
    """Return an instant of the epoch, aware UTC."""
    return datetime.fromtimestamp(seconds, UTC)
