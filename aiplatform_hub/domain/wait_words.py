"""Words for how long something will wait. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiplatform_hub.domain.queue_sentences import span
from aiplatform_hub.domain.wait_estimates import WaitEstimate

UNKNOWN = "How long, nobody knows yet."
_SOON_SECONDS = 90
_WORTH = 0.6
"""An alternative is told if its wait is at most this part of the other."""


@dataclass(frozen=True, slots=True)
class Chance:
    """What would become of an alternative."""

    is_free: bool
    """Whether it would start at once."""
    wait: WaitEstimate | None
    """How long it would wait; None where nobody can tell."""


def about(wait: WaitEstimate) -> str:
    """Return the middle of an estimate in a few words, such as ``about 35 min``."""
    return "about a minute" if wait.p50_seconds < _SOON_SECONDS else f"about {span(wait.p50_seconds)}"


def about_with_range(wait: WaitEstimate) -> str:
    """Return an estimate in a few words with the range of 8 in 10, such as ``about 35 min (10 min – 1 h 50 min)``."""
    least, most, words = span(wait.p10_seconds), span(wait.p90_seconds), about(wait)
    if most == span(60) or least == most:
        return words
    return f"{words} (up to {most})" if wait.p10_seconds < _SOON_SECONDS else f"{words} ({least} – {most})"


def spread(wait: WaitEstimate) -> str:
    """Return between what it probably is, such as ``80 % between 10 min and 2 h``."""
    least, most = span(wait.p10_seconds), span(wait.p90_seconds)
    if most == span(60):
        return ""
    if wait.p10_seconds < _SOON_SECONDS:
        return f"90 % within {most}"
    return f"80 % between {least} and {most}" if least != most else ""


def how_long(wait: WaitEstimate | None) -> str:
    """Return how long as a sentence; one that says so where nobody knows."""
    if wait is None:
        return UNKNOWN
    words = about(wait)
    more = spread(wait)
    return f"{words[0].upper()}{words[1:]}{f'; {more}' if more else ''}."


def fewer_gpus_advice(chances: Mapping[int, Chance], wait: WaitEstimate | None) -> str:
    """Return with how many GPUs it would be quicker, the most of those that are, as a sentence.

    Parameters
    ----------
    chances
        What would become of smaller GPU counts, by count.
    wait
        How long what is asked for would wait.
    """
    for number in sorted(chances, reverse=True):
        chance, gpus = chances[number], "1 GPU" if number == 1 else f"{number} GPUs"
        if chance.is_free:
            return f"With {gpus} you could start now."
        if chance.wait is not None and wait is not None and chance.wait.p50_seconds <= _WORTH * wait.p50_seconds:
            return f"With {gpus} {about(chance.wait)}."
    return ""


def alternative_sentence(what: str, chance: Chance, *, is_now: bool = True) -> str:
    """Return what would become of an alternative.

    Parameters
    ----------
    what
        What would be different, such as ``With 1 GPU``.
    is_now
        Whether it would be asked for now.
    """
    if chance.is_free:
        return f"{what} you could start now."
    if chance.wait is None:
        return f"{what} it would wait; how long, nobody knows yet."
    if chance.wait.p90_seconds < _SOON_SECONDS and not is_now:
        return f"{what} it would start at once."
    more = spread(chance.wait)
    return f"{what} it would wait {about(chance.wait)}{f'; {more}' if more else ''}."
