"""What reads, sums and reports charges, made for one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import Charged
from aiplatform_hub.domain.chargeback import with_idle_prices
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_reporter import ChargeReporter
from aiplatform_hub.operations.charge_rollup import ChargeRollup
from aiplatform_hub.operations.charge_sums import ChargeSumReader
from aiplatform_hub.operations.chargeback import ChargebackReader
from aiplatform_hub.operations.cost_reporter import CostReporter
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.gpu_activity import GpuActivityReader
from aiplatform_hub.storage.activity_sums import ActivitySums
from aiplatform_hub.storage.capacity_changes import CapacityHistory
from aiplatform_hub.storage.charge_rollup import ChargeRollupStore
from aiplatform_hub.storage.charged_use import ChargedUseStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.usage_sums import UsageSums


class Charging:
    """All of it, with the same cards and the same clock."""

    def __init__(self, database: Database, cards: Sequence[RateCard], clock: Callable[[], datetime]) -> None:
        self.database, self.clock, self.store = database, clock, ChargeRollupStore()
        self._cards = tuple(cards)
        self.charges = ChargeReader(uses=ChargedUseStore(), cards=self.cards)
        self.split = ChargeReader(uses=ChargedUseStore(), cards=lambda: with_idle_prices(self._cards))
        self.activity = GpuActivityReader(activity=ActivitySums(), cards=self.cards)
        self.sums = ChargeSumReader(charges=self.charges, activity=self.activity, rollup=self.store, cards=self.cards, clock=clock)
        self.rollup = ChargeRollup(
            database=database, charges=self.charges, activity=self.activity, rollup=self.store, reader=self.sums, cards=self.cards, clock=clock
        )
        self.credits = CreditReader(charges=self.charges, credits_=CreditStore())
        self.reporter = ChargeReporter(
            database=database, charges=self.charges, charge_sums=self.sums, credits_=self.credits, sums=UsageSums(), cards=self.cards, clock=clock
        )

    def cards(self) -> tuple[RateCard, ...]:
        return self._cards

    def costs(self, activity: ActivitySums | None = None) -> CostReporter:
        """Return what sums usage and costs."""
        return CostReporter(
            database=self.database,
            cards=self.cards,
            sums=UsageSums(),
            activity=activity or ActivitySums(),
            charge_sums=self.sums,
            clock=self.clock,
        )

    def chargeback(self) -> ChargebackReader:
        """Return what charges months back."""
        return ChargebackReader(
            database=self.database,
            charges=self.split,
            credits_=self.credits,
            capacity=CapacityHistory(),
            sums=UsageSums(),
            cards=self.cards,
            clock=self.clock,
        )

    def one_by_one(self) -> Charging:
        """Return another one that reads the ledger session by session and knows no sums: slow, and plainly right."""
        plain = Charging(self.database, self._cards, self.clock)
        plain.store.days = lambda *_: ()  # type: ignore[method-assign]
        for reader in (plain.charges, plain.split):
            reader.sums = _singly(reader)  # type: ignore[method-assign]
        return plain

    def follow(self) -> None:
        """Take note of what ended until now, as the keeper does before it makes days."""
        with self.database.write() as connection:
            self.store.advance(connection, self.store.ledger_head(connection))


def _singly(reader: ChargeReader) -> Callable[..., Iterator[Charged]]:
    def charges(connection: Connection, start: datetime, end: datetime, *, filters: Mapping[str, Any], **_: object) -> Iterator[Charged]:
        return reader.charges(connection, start, end, filters=filters)

    return charges
