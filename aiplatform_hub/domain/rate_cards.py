"""How rate cards come and go: what is to come may be changed, what has begun never. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.errors import Reason

LEAD = timedelta(minutes=1)
"""A card begins no earlier than this after it was recorded, so that every process knows it before it counts."""

CATALOGUE_REASON = "It stands in the catalogue's files."


@dataclass(frozen=True, slots=True)
class RecordedCard:
    """A card with who recorded it, when and why. Instants are aware UTC."""

    id: int
    card: RateCard
    recorded_at: datetime
    recorded_by: str | None
    """None: it stands in the catalogue's files."""
    reason: str
    withdrawn_at: datetime | None = None

    @property
    def stands(self) -> bool:
        """Whether it counts, now or later."""
        return self.withdrawn_at is None

    def is_open(self, now: datetime) -> bool:
        """Return whether it may still be changed or withdrawn."""
        return self.stands and self.card.effective_from > now + LEAD


@dataclass(frozen=True, slots=True)
class CardInForce:
    """A recorded card with when it ends."""

    recorded: RecordedCard
    until: datetime | None
    """Exclusive, aware UTC; None: until further notice, and for what was withdrawn."""


@dataclass(frozen=True, slots=True)
class FilePlan:
    """What has to be recorded so that the cards of the catalogue's files count."""

    added: tuple[RateCard, ...] = ()
    withdrawn: tuple[RecordedCard, ...] = ()
    problems: tuple[str, ...] = ()
    """Why nothing may be recorded, one sentence for each card; empty where all is well."""


def in_force(recorded: Sequence[RecordedCard]) -> tuple[CardInForce, ...]:
    """Return cards with their ends, in the order given: each holds until the next one that stands begins."""
    starts = sorted(each.card.effective_from for each in recorded if each.stands)
    return tuple(CardInForce(each, next((start for start in starts if each.stands and start > each.card.effective_from), None)) for each in recorded)


def faults_of_new(card: RateCard, others: Sequence[RecordedCard], now: datetime) -> tuple[Reason, ...]:
    """Return everything that forbids recording a card beside others that stand."""
    faults: list[Reason] = []
    if card.effective_from <= now + LEAD:
        text = f"effective_from is {_text(card.effective_from)}; a card begins at least a minute after it is recorded, and it is {_text(now)}"
        faults.append(_fault("document", f"{text}: prices of the past never change."))
    for other in others:
        if other.card.version == card.version:
            faults.append(_fault("version", f"There is a rate card {card.version} already; choose another version."))
        elif other.card.effective_from == card.effective_from:
            text = f"The rate card {other.card.version} begins at {_text(card.effective_from)} already: two cards would hold at once."
            faults.append(_fault("document", text))
    return tuple(faults)


def _fault(field: str, message: str) -> Reason:
    return Reason("invalid_option", message, field=field)


def plan_of_files(files: Sequence[RateCard], standing: Sequence[RecordedCard], now: datetime, *, is_unused: bool) -> FilePlan:
    """Return what the catalogue's files mean for what is recorded.

    Parameters
    ----------
    files
        The cards of the files.
    standing
        The cards that count.
    is_unused
        Whether nothing was ever metered: then no bill depends on a card, and files may say anything.
    """
    own = {each.card.version: each for each in standing if each.recorded_by is None}
    wanted = {card.version: card for card in files}
    changed = [card for card in files if card.version not in own or own[card.version].card != card]
    replaced = tuple(each for version, each in own.items() if (each.card != wanted[version] if version in wanted else is_unused or each.is_open(now)))
    kept = [each for each in standing if each not in replaced]
    if is_unused or not standing:
        problems = tuple(text for card in changed for text in _collisions(card, kept))
    else:
        problems = tuple(text for card in changed for text in _problems(card, own.get(card.version), kept, now))
    return FilePlan(problems=problems) if problems else FilePlan(tuple(changed), replaced)


def _problems(card: RateCard, before: RecordedCard | None, kept: Sequence[RecordedCard], now: datetime) -> Iterator[str]:
    if before is not None and not before.is_open(now):
        since = _text(before.card.effective_from)
        yield (
            f"The rate card {card.version} has been in force since {since} and differs from what was recorded on {_text(before.recorded_at)}: "
            "prices of the past never change. Write it as it was, and add a card with a new name that begins later."
        )
    elif card.effective_from <= now + LEAD:
        yield f"The rate card {card.version} would begin at {_text(card.effective_from)}, which is past: prices of the past never change. Let it begin later."
    yield from _collisions(card, kept)


def _collisions(card: RateCard, kept: Sequence[RecordedCard]) -> Iterator[str]:
    for other in kept:
        who = f"that {other.recorded_by} recorded on {_text(other.recorded_at)}" if other.recorded_by is not None else "that was recorded before"
        if other.card.version == card.version and other.recorded_by is not None:
            yield f"There is a rate card {card.version} {who}; give the one in the files another name."
        elif other.card.version != card.version and other.card.effective_from == card.effective_from:
            yield f"The rate cards {card.version} and {other.card.version}, {who}, both begin at {_text(card.effective_from)}: two cards would hold at once."


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
