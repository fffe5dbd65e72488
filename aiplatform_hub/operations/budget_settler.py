"""Counts in budgets what sessions cost, while they run and when they have ended, and gives back what they do not need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.budgets import MICROS
from aiplatform_hub.operations.budget_days import LATE
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.storage.budgets import BudgetStore, Unsettled
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore

_AT_ONCE = 100
"""Holds that one transaction settles: decisions wait for it."""
_RUNS = frozenset({"held", "active"})
_FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class BudgetSettler:
    """Settles. Everything may be repeated, by several processes: what was counted is written with its total, never added."""

    def __init__(self, *, database: Database, budgets: BudgetStore, devices: DeviceStore, charges: ChargeReader, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._budgets = budgets
        self._devices = devices
        self._charges = charges
        self._clock = clock

    def settle(self) -> int:
        """Bring every budget up to what its sessions have cost; return how many holds were settled for good.

        Prices are found without the decisions' lock; it is held for a few rows at a time.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        self._count_new(now)
        self._count_earlier(now)
        with self._database.read() as connection:
            unsettled = self._budgets.unsettled(connection)
            costs = self._costs(connection, unsettled)
        settled = 0
        for first in range(0, len(unsettled), _AT_ONCE):
            settled += self._write(unsettled[first : first + _AT_ONCE], costs, now)
        self._note_spent(now)
        return settled

    def _count_new(self, now: datetime) -> None:
        with self._database.read() as connection:
            uncounted = self._budgets.uncounted(connection, now)
        for first in range(0, len(uncounted), _AT_ONCE):
            with self._database.write() as connection:
                self._devices.lock(connection)
                for allocation_id, budget_id in uncounted[first : first + _AT_ONCE]:
                    self._budgets.count(connection, allocation_id, budget_id, now)

    def _count_earlier(self, now: datetime) -> None:
        """Count what had ended in a budget's period before the budget was set. It may be repeated; the last step says that all was counted.

        What is open now was counted before, so nothing ends unseen meanwhile.
        """
        with self._database.read() as connection:
            new = [(budget, span[0]) for budget in self._budgets.without_earlier(connection, now) if (span := budget.span_at(now)) is not None]
            earlier = [(budget.id, self._budgets.earlier(connection, budget, start, now)) for budget, start in new]
        for budget_id, sessions in earlier:
            for first in range(0, len(sessions), _AT_ONCE):
                with self._database.write() as connection:
                    self._devices.lock(connection)
                    for allocation_id in sessions[first : first + _AT_ONCE]:
                        self._budgets.count(connection, allocation_id, budget_id, now)
            with self._database.write() as connection:
                self._devices.lock(connection)
                self._budgets.earlier_counted(connection, budget_id, now)

    def _note_spent(self, now: datetime) -> None:
        with self._database.read() as connection:
            present = self._budgets.present(connection, now)
        if any(each.spent_at is None and each.spending.committed_micros >= each.limit_micros for each in present):
            with self._database.write() as connection:
                self._devices.lock(connection)
                self._budgets.note_spent(connection, now)

    def _write(self, some: Sequence[Unsettled], costs: Mapping[int, int], now: datetime) -> int:
        settled = 0
        with self._database.write() as connection:
            self._devices.lock(connection)
            present = {each.hold.id: each for each in self._budgets.unsettled(connection, [each.hold.allocation_id for each in some])}
            for each in some:
                hold = each.hold
                if present.get(hold.id) != each:
                    continue  # it changed since it was priced, or its session did: the next look sees it
                is_over = each.state not in _RUNS or each.is_over or (each.ends_at is not None and each.ends_at <= now - LATE)
                cost = max(costs.get(hold.id, 0), hold.committed_micros)
                if is_over or cost != hold.committed_micros:
                    self._budgets.commit(connection, hold, cost, settled_at=now if is_over else None)
                settled += is_over
        return settled

    def _costs(self, connection: Connection, unsettled: Iterable[Unsettled]) -> dict[int, int]:
        """Return what each hold's session has cost in its period, in whole millionths, by id of the hold."""
        by_period: dict[tuple[int, datetime, datetime | None], list[Unsettled]] = defaultdict(list)
        for each in unsettled:
            by_period[each.hold.period_id, each.starts_at, each.ends_at].append(each)
        costs: dict[int, int] = {}
        for (_, start, end), group in by_period.items():
            for first in range(0, len(group), _AT_ONCE):
                some = {each.hold.allocation_id: each for each in group[first : first + _AT_ONCE]}
                sums = self._sums(connection, start, end or _FOR_EVER, some)
                costs |= {some[id_].hold.id: round(amount * MICROS) for id_, amount in sums.items()}
        return costs

    def _sums(self, connection: Connection, start: datetime, end: datetime, some: Mapping[UUID, Unsettled]) -> dict[UUID, Fraction]:
        sums: dict[UUID, Fraction] = defaultdict(Fraction)
        for charge in self._charges.charges(connection, start, end, filters={"allocation": frozenset(some)}):
            if charge.currency == some[charge.allocation_id].currency and not charge.is_correction:  # a budget counts what ran, where it ran
                sums[charge.allocation_id] += charge.amount
        return sums
