"""An allocation's time as a picture, and the long idle parts of it as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiplatform_hub.domain.allocations import AllocationEvent
from aiplatform_hub.domain.timeline import Phase, Span, condensed, idle_spans
from aiplatform_hub.web.view_models.formats import Stamp, duration, stamp

WIDTH = 1000
"""Width of the picture in its own units; the page stretches it."""
LONG = timedelta(minutes=10)
"""Idleness from which it is a line of the list."""
MOST_LINES = 12

LABELS = {
    Phase.WAITING: "In the queue",
    Phase.STARTING: "Starting",
    Phase.USED: "GPUs used",
    Phase.IDLE: "GPUs idle",
    Phase.UNKNOWN: "Running, use not known",
    Phase.RUNNING: "Running",
}
MARKS = {"release_warned": "Warned", "extended": "Extended"}
"""What is marked in the picture, by cause of the event."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the picture."""

    kind: str
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Key:
    """A line of the legend."""

    kind: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """From the request to the end, or until now."""

    parts: tuple[Part, ...]
    marks: tuple[str, ...]
    """Where something is marked."""
    keys: tuple[Key, ...]
    start: Stamp | None
    end: Stamp | None
    is_over: bool
    label: str


def timeline(spans: Sequence[Span], events: Iterable[AllocationEvent], *, is_over: bool) -> Timeline | None:
    """Return the picture of an allocation's time; None where it had none."""
    if not spans:
        return None
    start, end = spans[0].start, spans[-1].end
    totals = {phase: sum((span.length for span in spans if span.phase is phase), timedelta()) for phase in Phase}
    keys = [Key(phase.value, LABELS[phase], duration(total)) for phase, total in totals.items() if total]
    marked = [event for event in events if event.cause in MARKS and start <= event.at <= end]
    counts = {label: sum(MARKS[event.cause] == label for event in marked) for label in MARKS.values()}
    keys += [Key("mark", label, "once" if times == 1 else f"{times} times") for label, times in counts.items() if times]
    return Timeline(
        parts=tuple(Part(span.phase.value, _place(span.start, start, end), _place(start + span.length, start, end)) for span in condensed(spans)),
        marks=tuple(dict.fromkeys(_place(event.at, start, end) for event in marked)),
        keys=tuple(keys),
        start=stamp(start),
        end=stamp(end),
        is_over=is_over,
        label="Its time. " + "; ".join(f"{key.label}: {key.text}" for key in keys),
    )


def idle_lines(spans: Iterable[Span], now: datetime) -> tuple[tuple[Stamp | None, str], ...]:
    """Return when GPUs were idle for long, with a sentence for each."""
    long = idle_spans(spans, at_least=LONG, most=MOST_LINES)
    return tuple((stamp(span.start), _sentence(span, now)) for span in long)


def _sentence(span: Span, now: datetime) -> str:
    goes_on = now - span.end < timedelta(minutes=1)
    return f"Its GPUs have been idle since then, for {duration(span.length)}" if goes_on else f"Its GPUs were idle for {duration(span.length)}"


def _place(at: datetime, start: datetime, end: datetime) -> str:
    return f"{WIDTH * ((at - start) / (end - start)):.1f}".removesuffix(".0")
