"""Chargeback of a month: what each cost centre owes, read from the ledger and from what there was to use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.chargeback import Chargeback, Spare, chargeback
from aiplatform_hub.domain.rates import boundaries, card_at, split
from aiplatform_hub.domain.report_months import span_of_month
from aiplatform_hub.domain.unallocated import gpu_times
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.capacity_changes import CapacityHistory
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.usage_sums import UsageSums


class ChargebackReader:
    """Reads only; a month that is over and closed says the same from any process, at any time."""

    def __init__(  # noqa: PLR0913  its collaborators, by name
        self,
        *,
        database: Database,
        charges: ChargeReader,
        credits_: CreditReader,
        capacity: CapacityHistory,
        sums: UsageSums,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._charges = charges
        self._credits = credits_
        self._capacity = capacity
        self._sums = sums
        self._cards = cards
        self._clock = clock

    def of_month(self, month: str) -> Chargeback:
        """Return the chargeback of a month (UTC), of one that still runs until now.

        Raises
        ------
        InvalidOptionError
            If it is none, or has not begun.
        ServiceUnavailableError
            If the database does not answer.
        """
        span, now = span_of_month(month), self._clock()
        if span.start >= now:
            message = f"{month} has not begun yet; it is {now:%Y-%m}."
            raise InvalidOptionError(message, (Reason("invalid_option", message, field="month"),))
        cards, until = self._cards(), min(span.end, now)
        pieces = split(span.start, until, boundaries(cards, span.start, until))
        in_force = [card_at(cards, start) for start, _ in pieces]
        with self._database.snapshot() as connection:
            return chargeback(
                self._charges.sums(connection, span.start, until, columns=("cost_centre",), by_day=False, filters={}),
                self._spare(connection, pieces, in_force),
                in_force,
                self._credits.payments(connection, span.start, until),
                start=span.start,
                end=span.end,
                complete_until=self._sums.complete_until(connection, now),
                capacity_known_from=self._capacity.known_from(connection),
            )

    def _spare(self, connection: Connection, pieces: Sequence[tuple[datetime, datetime]], cards: Sequence[RateCard]) -> Iterator[Spare]:
        start, end = pieces[0][0], pieces[-1][1]
        for gpu_type in self._capacity.gpu_types(connection, end):
            capacity, held = self._capacity.changes(connection, gpu_type, end), self._capacity.held(connection, gpu_type, start, end)
            for card, time in zip(cards, gpu_times(capacity, held, pieces), strict=True):
                yield Spare(gpu_type, card, time.unallocated)
