"""What a start would cost, and how long it would run: one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.release_sentences import length
from aiplatform_hub.domain.session_terms import SessionTerms, planned_cost
from aiplatform_hub.web.view_models.formats import Stamp, count, money, price, stamp


@dataclass(frozen=True, slots=True)
class TermsLine:
    """A sentence in two parts with a semicolon between them, perhaps with an instant in the second."""

    cost: str
    runs: str = ""
    """Until when it runs, or the words before the instant; empty where nothing is known of it."""
    at: Stamp | None = None
    after: str = ""


def price_sentence(per_hour: Decimal | None, currency: str | None, max_hours: int | None) -> str:
    """Return the price per hour and, where a length is planned, for all of it."""
    sentence = price(per_hour, currency)
    planned = planned_cost(per_hour, max_hours)
    if planned and max_hours:
        sentence += f", {money(planned, currency)} for {count(max_hours, 'hour')}"
    return sentence[0].upper() + sentence[1:] + "."


def terms_line(cost: str, terms: SessionTerms | None, *, starts_at: datetime | None, max_hours: int | None, has_end: bool) -> TermsLine:
    """Return cost, latest end and idle rule as one sentence.

    Parameters
    ----------
    cost
        As :func:`price_sentence` gives it.
    starts_at
        When it would start; None if it would wait.
    has_end
        Whether it ends for a class, which is said elsewhere.
    """
    if terms is None:
        return TermsLine(cost)
    words = cost.removesuffix(".")
    if terms.unused_after_seconds is not None:
        return TermsLine(words, f"it ends once nobody has used it for {length(terms.unused_after_seconds)}.")
    cap = None if has_end else terms.cap_seconds
    idle = "" if terms.idle_after_seconds is None else f"at most {length(terms.idle_after_seconds)} idle"
    if cap is None and not idle:
        return TermsLine(cost) if has_end else TermsLine(words, "runs until you stop it.")
    before = "" if has_end else "runs until you stop it; " if terms.only_while_somebody_waits else "runs "
    before += "while others wait, " if terms.only_while_somebody_waits else ""
    if cap is None:
        return TermsLine(words, f"{before}{idle}.")
    tail = f"{f' and {idle}' if idle else ''}{_longer(terms, max_hours)}."
    if starts_at is None:
        return TermsLine(words, f"{before}up to {length(cap)}{tail}")
    return TermsLine(words, f"{before}until", stamp(starts_at + timedelta(seconds=cap)), f"({length(cap)}){tail}")


def _longer(terms: SessionTerms, max_hours: int | None) -> str:
    """Return how more hours than the cap can be had, where so many are planned."""
    is_longer = max_hours is not None and terms.cap_seconds is not None and max_hours * 3600 > terms.cap_seconds
    return f"; extensions keep it up to {length(terms.ceiling_seconds)}" if is_longer and terms.ceiling_seconds is not None else ""
