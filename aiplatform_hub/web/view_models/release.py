"""When and why a session's GPUs are given back, and the button that keeps them, for its card and its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.domain.release import Action
from aiplatform_hub.domain.release_sentences import Told, Words, extension_length, grace, outcome, promise, reason, why_not_longer
from aiplatform_hub.web.view_models.formats import Stamp, stamp

Part = str | Stamp
"""A text, or an instant that the browser shows in its reader's zone."""


@dataclass(frozen=True, slots=True)
class Notice:
    """What is said of the release of one running session."""

    state: str
    """Changes whenever there is something new to say: ``keep``, or the warning with its cause and deadline."""
    is_warning: bool
    reason: str
    """Why; empty while it is kept."""
    words: tuple[Part, ...]
    """What happens when; while it is kept, what it may rely on."""
    countdown: Stamp | None
    """What the browser counts down to; None where nothing happens at an instant."""
    now: Stamp | None
    """When this was said, by the server's clock: the browser's may be wrong."""
    extend_label: str
    """On the button that keeps it longer; empty where there is none."""
    cannot_extend: str
    """Why the button is of no use now; empty where it is."""


def notice(told: Told) -> Notice:
    """Return what is said of the release of a session."""
    view = told.view
    is_warning = view.action is not Action.KEEP
    counts = view.action is Action.WARN and view.deadline is not None and view.deadline > told.now and told.is_looming
    length = extension_length(told)
    return Notice(
        state=_state(told),
        is_warning=is_warning,
        reason=reason(told),
        words=parts(_in_a_row(grace(told), outcome(told) if is_warning else promise(told))),
        countdown=stamp(view.deadline) if counts else None,
        now=stamp(told.now),
        extend_label=f"Keep it {length} longer" if length else "Keep it longer" if why_not_longer(told) else "",
        cannot_extend=why_not_longer(told),
    )


def _in_a_row(first: Words, then: Words) -> Words:
    return (*first, " ", *then) if first and then else first or then


def parts(words: Words) -> tuple[Part, ...]:
    """Return a sentence for a page."""
    return tuple(part for word in words if (part := stamp(word) if isinstance(word, datetime) else word))


def _state(told: Told) -> str:
    view = told.view
    if view.action is Action.KEEP or view.deadline is None:
        return "keep"
    when = f"{view.deadline:%H:%M}" if told.is_looming else "if"
    return f"{view.action} {view.why} {when}"
