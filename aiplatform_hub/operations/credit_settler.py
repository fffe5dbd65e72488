"""How much each credit has paid, brought up to now again and again for pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiplatform_hub.domain.budgets import MICROS
from aiplatform_hub.domain.credits import Credit, Paid, concerning, paid_after
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.credits import Balance, CreditStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.usage_sums import UsageSums

_GRACE = timedelta(days=1)
REBUILT_AFTER = timedelta(hours=1)
"""How long balances are carried on before they are summed from the begin again, so that later corrections are seen."""


class CreditSettler:
    """Notes what each credit has paid, for pages. Reports and invoices do not ask it: they burn credits themselves."""

    def __init__(self, *, database: Database, credits_: CreditStore, reader: CreditReader, sums: UsageSums, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._credits = credits_
        self._reader = reader
        self._sums = sums
        self._clock = clock
        self._base: _Base | None = None

    def settle(self) -> int:
        """Bring every balance up to now; return how many changed. May be repeated, by several processes.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        with self._database.read() as connection:
            due = [each for each in self._credits.balances(connection) if each.credit.starts_at < now and _is_open(each, now)]
            if not due:
                return 0
            paid = self._paid(connection, [each.credit for each in due], now)
        with self._database.write() as connection:
            for each in due:
                self._credits.put_balance(connection, each.credit.id, round(paid.get(each.credit.id, 0) * MICROS), now)
        return len(due)

    def _paid(self, connection: Connection, due: Iterable[Credit], now: datetime) -> Paid:
        """Return what credits have paid. What is closed is carried on from the look before."""
        found = concerning(self._credits.all(connection), min(each.starts_at for each in due), now)
        base = self._base
        if base is None or base.credits != found or now - base.made_at > REBUILT_AFTER:
            base = _Base(found, now, min(each.starts_at for each in found), {})
        closed = min(self._sums.complete_until(connection, now), now).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if closed > base.until:
            base = _Base(found, base.made_at, closed, self._sum(connection, base, closed))
        self._base = base
        return self._sum(connection, base, now)

    def _sum(self, connection: Connection, base: _Base, end: datetime) -> Paid:
        paid = base.paid
        for payments in self._reader.burnt(connection, base.credits, base.until, end, paid):
            paid = paid_after(paid, payments)
        return paid


@dataclass(frozen=True, slots=True)
class _Base:
    """What credits had paid for use before an instant at which the ledger is closed."""

    credits: tuple[Credit, ...]
    made_at: datetime
    until: datetime
    paid: Paid


def _is_open(balance: Balance, now: datetime) -> bool:
    """Whether what a credit has paid may still change: a while after its end too, as sessions' ends are seen later."""
    return balance.as_of is None or balance.credit.until > now - _GRACE or balance.as_of < balance.credit.until + _GRACE
