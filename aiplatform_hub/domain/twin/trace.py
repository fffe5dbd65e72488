"""Demand: the sessions that people would start, whatever the policy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TraceSession:
    """One session that a person would start."""

    user: str
    project: str
    sequence: int
    """Position among the person's sessions; it is asked for only after the one before has ended."""
    think_seconds: float
    """Pause after the end of the person's previous session, or after the start of the trace, before they ask. In seconds."""
    gpus: int
    work_seconds: float
    """How long the GPUs do useful work from the session's start. In seconds."""
    idle_tail_seconds: float
    """How long the person would then leave the session open with the GPUs idle. In seconds."""
    is_office_hours: bool
    """Whether the person asks between 08:00 and 20:00 only: a light user."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Demand on one box, from 00:00 of its first day."""

    name: str
    capacity_gpus: int
    duration_seconds: float
    """What is scored, from the start of the trace. In seconds."""
    sessions: tuple[TraceSession, ...]
