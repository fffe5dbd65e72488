"""What was charged, by the shortest way: days that are over from their sums, the rest from the ledger. Both say the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiplatform_hub.catalog.rate_cards import card_mark
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import DAY, ActivitySum, Charged, RolledDay, counts, runs
from aiplatform_hub.domain.rates import boundaries, card_at
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.gpu_activity import GpuActivityReader
from aiplatform_hub.storage.charge_rollup import COLUMNS, ChargeRollupStore, SumsQuery
from aiplatform_hub.storage.database import Connection

TIMES = ("day", "week", "month")
"""What is grouped by the day of a sum."""
Spans = tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class ChargedSpan:
    """A half-open span ``[start, end)`` in aware UTC, with grouping and filters by name."""

    start: datetime
    end: datetime
    group_by: Sequence[str] = ()
    filters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The groups that are no times."""
        return tuple(name for name in self.group_by if name in COLUMNS)

    @property
    def by_day(self) -> bool:
        """Whether days matter."""
        return any(name in TIMES for name in self.group_by)

    @property
    def is_of_sums(self) -> bool:
        """Whether sums can answer: they do not know single sessions."""
        return {*self.group_by} <= {*COLUMNS, *TIMES} and set(self.filters) <= set(COLUMNS)


class ChargeSumReader:
    """Reads charges and GPUs' use for reports. Wants all of it in one transaction that sees one moment."""

    def __init__(
        self,
        *,
        charges: ChargeReader,
        activity: GpuActivityReader,
        rollup: ChargeRollupStore,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
    ) -> None:
        self._charges = charges
        self._activity = activity
        self._rollup = rollup
        self._cards = cards
        self._clock = clock

    def charged(self, connection: Connection, span: ChargedSpan) -> Iterator[Charged]:
        """Stream what was charged in a span: sums in its groups, and single charges where sessions were moved or are asked for."""
        kept, rest = self._ways(connection, span)
        yield from self._rollup.sums(connection, SumsQuery(kept, span.columns, span.by_day, span.filters))
        for start, end in rest:
            if span.is_of_sums:
                yield from self._charges.sums(connection, start, end, columns=span.columns, by_day=span.by_day, filters=span.filters)
            else:
                yield from self._charges.charges(connection, start, end, filters=span.filters)

    def activity(self, connection: Connection, span: ChargedSpan) -> Iterator[ActivitySum]:
        """Stream what is known of the use of GPUs in a span, in its groups."""
        kept, rest = self._ways(connection, span)
        yield from self._rollup.activity(connection, SumsQuery(kept, span.columns, span.by_day, span.filters))
        for start, end in rest:
            yield from self._activity.activity(connection, start, end, columns=span.columns, by_day=span.by_day, filters=span.filters)

    def valid_days(self, connection: Connection, start: datetime | None = None, end: datetime | None = None) -> tuple[RolledDay, ...]:
        """Return the days that begin in a span and whose sums say what the ledger says."""
        days = self._rollup.days(connection, start, end)
        if not days:
            return ()
        marks, now = CardMarks(self._cards()), self._clock()
        changed = self._rollup.changed_days(connection, self._rollup.state(connection).sequence, self._rollup.ledger_head(connection))
        opened = [start for start, _ in self._rollup.open_intervals(connection)]
        return tuple(day for day in days if counts(day, now=now, cards=marks.of(day.start), open_starts=opened, changed=changed))

    def _ways(self, connection: Connection, span: ChargedSpan) -> tuple[Spans, Spans]:
        """Return what of a span its days' sums say, and what only the ledger does."""
        if not span.is_of_sums or span.end - span.start < DAY:
            return (), ((span.start, span.end),)
        return runs(span.start, span.end, (day.start for day in self.valid_days(connection, span.start, span.end)))


class CardMarks:
    """Tells by which cards a day is priced."""

    def __init__(self, cards: Sequence[RateCard]) -> None:
        self._cards = cards
        self._known: dict[tuple[datetime, ...], str] = {}

    def of(self, day: datetime) -> str:
        """Return the mark of the cards of a day: another one if any of them says anything else."""
        instants = (day, *boundaries(self._cards, day, day + DAY))
        priced = [card_at(self._cards, instant) for instant in instants]
        key = tuple(card.effective_from for card in priced)
        if key not in self._known:
            self._known[key] = card_mark(priced)
        return self._known[key]
