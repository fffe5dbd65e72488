"""Follows the money of budgets beyond sessions where they were launched: sessions that were moved, people's storage, and what credits pay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.budgets import MICROS, Adjustment, Scope
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import Charge
from aiplatform_hub.domain.credits import Credit, Paid, concerning, paid_after
from aiplatform_hub.domain.storage_samples import day_of, storage_charges
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.budget_periods import MARGIN, Followed, adjust, count_moves, followed
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.credits import CreditStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.session_moves import SessionMoveStore
from aiplatform_hub.storage.storage_samples import stream as storage_samples
from aiplatform_hub.storage.usage_sums import UsageSums

REBUILT_AFTER = timedelta(days=1)
"""How long sums are carried on before they are made from the begin again."""
_Key = tuple[UUID, datetime]
"""Budget and begin of a period."""


class BudgetFollower:
    """Writes what each period counts beside its sessions, with its total: it may be repeated, by several processes."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        budgets: BudgetStore,
        devices: DeviceStore,
        charges: ChargeReader,
        credits_: CreditStore,
        credit_reader: CreditReader,
        moves: SessionMoveStore,
        sums: UsageSums,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._budgets = budgets
        self._devices = devices
        self._charges = charges
        self._credits = credits_
        self._credit_reader = credit_reader
        self._moves = moves
        self._sums = sums
        self._cards = cards
        self._clock = clock
        self._base: _Base | None = None

    def follow(self) -> int:
        """Bring every period up to now; return how many changed.

        Everything is read without the decisions' lock; it is held for what is written.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        with self._database.read() as connection:
            periods = followed(connection, now)
            if not periods:
                return 0
            amounts = self._amounts(connection, periods, now)
        found = [(each, amounts.get(each.key, _Amounts()).rounded()) for each in periods]
        due = [(each, adjustment) for each, adjustment in found if adjustment != each.adjustment or _is_over(each, now)]
        if due:
            with self._database.write() as connection:
                self._devices.lock(connection)
                for each, adjustment in due:
                    period_id = each.period_id or self._budgets.period(connection, each.budget.id, each.starts_at)
                    if period_id is not None:
                        adjust(connection, period_id, adjustment, now)
        return sum(adjustment != each.adjustment for each, adjustment in due)

    def _amounts(self, connection: Connection, periods: Sequence[Followed], now: datetime) -> Mapping[_Key, _Amounts]:
        """Return what is counted beside sessions, by period. What is closed is carried on from the look before, as long as nothing else changed."""
        credits_ = concerning(self._credits.all(connection), min(each.starts_at for each in periods), now)
        state = (tuple((each.key, each.ends_at) for each in periods), credits_, count_moves(connection))
        base = self._base
        if base is None or base.state != state or not timedelta(0) <= now - base.made_at <= REBUILT_AFTER:
            start = min((*(each.starts_at for each in periods), *(each.starts_at for each in credits_)))
            base = _Base(state, now, start, {}, {})
        closed = day_of(min(self._sums.complete_until(connection, now), now - MARGIN))
        if closed > base.until:
            base = self._carried_on(connection, base, periods, credits_, closed)
        self._base = base
        return self._carried_on(connection, base, periods, credits_, now).amounts

    def _carried_on(self, connection: Connection, base: _Base, periods: Sequence[Followed], credits_: Sequence[Credit], end: datetime) -> _Base:
        amounts, paid = _Sums(periods, base.amounts), base.paid
        for charge in self._corrections(connection, base.until, end):
            amounts.add("moved", charge, charge.start, charge.end, charge.amount)
        for charge in self._storage(connection, base.until, end):
            amounts.add("storage", charge, charge.start, charge.end, charge.amount)
        for payments in self._credit_reader.burnt(connection, credits_, base.until, end, paid) if credits_ else ():
            paid = paid_after(paid, payments)
            for payment in payments:
                amounts.add("credit", payment.charge, payment.start, payment.end, payment.amount)
        return _Base(base.state, base.made_at, end, paid, amounts.found)

    def _corrections(self, connection: Connection, start: datetime, end: datetime) -> Iterator[Charge]:
        moved = frozenset(self._moves.moved(connection, start, end))
        found = self._charges.charges(connection, start, end, filters={"allocation": moved}) if moved else iter(())
        return (charge for charge in found if charge.is_correction)

    def _storage(self, connection: Connection, start: datetime, end: datetime) -> Iterator[Charge]:
        cards = self._cards()
        if any(card.storage_gib_month for card in cards):
            for sample in storage_samples(connection, start, end, {}):
                yield from storage_charges(sample, cards, start, end)


@dataclass(frozen=True, slots=True)
class _Amounts:
    """Exact sums of one period, in the currency."""

    moved: Fraction = Fraction(0)
    storage: Fraction = Fraction(0)
    credit: Fraction = Fraction(0)

    def plus(self, kind: str, amount: Fraction) -> _Amounts:
        return replace(self, **{kind: getattr(self, kind) + amount})

    def rounded(self) -> Adjustment:
        return Adjustment(*(round(each * MICROS) for each in (self.moved, self.storage, self.credit)))


@dataclass(frozen=True, slots=True)
class _Base:
    """What periods counted of the time before an instant."""

    state: object
    """What the amounts depend on beside the time: the periods, the credits, and how many moves there were."""
    made_at: datetime
    until: datetime
    paid: Paid
    amounts: Mapping[_Key, _Amounts]


class _Sums:
    """Adds each amount to the periods that count it."""

    def __init__(self, periods: Sequence[Followed], before: Mapping[_Key, _Amounts]) -> None:
        self.found = dict(before)
        self._periods: dict[tuple[Scope, str, str], list[Followed]] = defaultdict(list)
        for each in periods:
            self._periods[each.budget.scope, each.budget.name, each.budget.currency].append(each)

    def add(self, kind: str, charge: Charge, start: datetime, end: datetime, amount: Fraction) -> None:
        """Add an amount of some time of a charge; a period gets of it what is of its own time."""
        whose = ((Scope.PERSON, charge.user_name), (Scope.PROJECT, charge.project), (Scope.COST_CENTRE, charge.cost_centre))
        for scope, name in whose:
            for each in self._periods.get((scope, name, charge.currency), ()):
                low, high = max(start, each.starts_at), end if each.ends_at is None else min(end, each.ends_at)
                if low < high:
                    part = Fraction((high - low) // _TICK, (end - start) // _TICK)
                    self.found[each.key] = self.found.get(each.key, _Amounts()).plus(kind, amount * part)


_TICK = timedelta(microseconds=1)


def _is_over(each: Followed, now: datetime) -> bool:
    return each.period_id is not None and each.ends_at is not None and each.ends_at <= now
