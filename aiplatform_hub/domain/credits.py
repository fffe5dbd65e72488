"""Credits: amounts given to people, projects and cost centres, and which of them pays for which use. Pure and exact.

At every instant each charge is paid by the first credit in burn order that has something left; what none pays is still due. So what was paid
before an instant depends on nothing that is used, given or ended after it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import pairwise
from uuid import UUID

from aiplatform_hub.domain.budgets import MICROS, Scope
from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.units import from_microseconds, to_microseconds

_FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
_SKUS = {sku: place for place, sku in enumerate(Sku)}


@dataclass(frozen=True, slots=True)
class Credit:
    """An amount that pays for use inside ``[starts_at, expires_at)``, aware UTC."""

    id: UUID
    scope: Scope
    name: str
    """Of the cost centre, project or person."""
    amount_micros: int
    """Millionths of the currency."""
    currency: str
    priority: int
    """The smallest burns first."""
    starts_at: datetime
    """Never before it was given: nothing that was paid is rewritten."""
    expires_at: datetime | None
    """None never expires."""
    reason: str
    created_by: str
    created_at: datetime
    ended_at: datetime | None = None
    """When an admin ended it before its time."""

    @property
    def until(self) -> datetime:
        """When it stops paying, exclusive."""
        return min(self.expires_at or _FOR_EVER, self.ended_at or _FOR_EVER)

    @property
    def amount(self) -> Decimal:
        """In the currency."""
        return Decimal(self.amount_micros) / MICROS

    @property
    def order(self) -> tuple[int, datetime, datetime, int]:
        """What credits burn by: priority, then the one that expires first, then the oldest."""
        return (self.priority, self.expires_at or _FOR_EVER, self.created_at, self.id.int)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether it pays for anything inside ``[start, end)``."""
        return self.starts_at < end and start < self.until and self.starts_at < self.until


@dataclass(frozen=True, slots=True)
class Payment:
    """What one credit pays of one charge."""

    credit: Credit
    charge: Charge
    start: datetime
    """From when on it pays for it, aware UTC, inclusive."""
    end: datetime
    """Until when, exclusive."""
    amount: Fraction
    """Exact, more than 0."""


Paid = Mapping[UUID, Fraction]
"""What credits have paid, by their ids."""


def burn(credits_: Iterable[Credit], charges: Iterable[Charge], paid: Paid) -> tuple[Payment, ...]:
    """Return what credits pay of charges, in order of time.

    A correction of a charge is counted with it, as if the charge had always been so. Time is whole microseconds: of the last one that a credit
    pays for it pays what it has left, to one charge after the other, and the next credit goes on with the microsecond after it.

    Parameters
    ----------
    credits_
        All that there are, in any order.
    charges
        In any order. All of a span: none of them reaches into a span that was or will be burnt apart from this one.
    paid
        What the credits have paid for use before that span.
    """
    by_payer: dict[tuple[Scope, str, str], list[Credit]] = defaultdict(list)
    for credit in sorted(credits_, key=lambda each: each.order):
        by_payer[credit.scope, credit.name, credit.currency].append(credit)
    return _Burning(paid).run(tuple(_pieces(by_payer, charges)))


def paid_after(paid: Paid, payments: Iterable[Payment]) -> dict[UUID, Fraction]:
    """Return what credits have paid after some more payments."""
    found = dict(paid)
    for payment in payments:
        found[payment.credit.id] = found.get(payment.credit.id, Fraction(0)) + payment.amount
    return found


def concerning(credits_: Iterable[Credit], start: datetime, end: datetime) -> tuple[Credit, ...]:
    """Return the credits that payments inside ``[start, end)`` depend on: those that pay then, and those that burnt beside them before."""
    found: list[Credit] = []
    rest = [each for each in credits_ if each.starts_at < each.until]
    first = start
    while met := [each for each in rest if each.overlaps(first, end)]:
        found += met
        rest = [each for each in rest if not each.overlaps(first, end)]
        first = min(first, *(each.starts_at for each in met))
    return tuple(sorted(found, key=lambda each: each.order))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a charge in which the same credits may pay. Instants are microseconds."""

    key: tuple[object, ...]
    charge: Charge
    start: int
    end: int
    rate: Fraction
    """Cost of one microsecond, more than 0."""
    credits: tuple[Credit, ...]
    """In burn order."""


def _pieces(by_payer: Mapping[tuple[Scope, str, str], Sequence[Credit]], charges: Iterable[Charge]) -> Iterator[_Piece]:
    """Yield what credits may pay for, corrections counted with what they correct."""
    sums: dict[tuple[object, ...], Fraction] = defaultdict(Fraction)
    known: dict[tuple[object, ...], Charge] = {}
    payers: dict[tuple[object, ...], list[Credit]] = {}
    for charge in charges:
        whose = ((Scope.PERSON, charge.user_name), (Scope.PROJECT, charge.project), (Scope.COST_CENTRE, charge.cost_centre))
        mine = [each for one in whose for each in by_payer.get((*one, charge.currency), ()) if each.overlaps(charge.start, charge.end)]
        if not mine:
            continue
        key = _key(charge)
        sums[key] += charge.amount
        if key not in known or known[key].is_correction:
            known[key] = charge
        payers[key] = mine
    for key, charge in known.items():
        if sums[key] > 0:
            yield from _split(key, charge, payers[key], sums[key])


def _key(charge: Charge) -> tuple[object, ...]:
    whose = (charge.cost_centre, charge.project, charge.user_name, charge.interval_id.int, charge.allocation_id.int)
    return (*whose, _SKUS[charge.sku], charge.currency, charge.start, charge.end)


def _split(key: tuple[object, ...], charge: Charge, mine: Sequence[Credit], amount: Fraction) -> Iterator[_Piece]:
    start, end = to_microseconds(charge.start), to_microseconds(charge.end)
    rate = amount / (end - start)
    mine = sorted(mine, key=lambda each: each.order)
    edges = {start, end} | {edge for each in mine for edge in (to_microseconds(each.starts_at), to_microseconds(each.until)) if start < edge < end}
    for low, high in pairwise(sorted(edges)):
        paying = tuple(each for each in mine if to_microseconds(each.starts_at) <= low and high <= to_microseconds(each.until))
        if paying:
            yield _Piece(key, charge, low, high, rate, paying)


_END, _EMPTY, _BEGIN = range(3)
"""What happens at an instant, in this order."""


@dataclass(slots=True)
class _Purse:
    """How a credit stands at ``at``, and what it pays for from then on."""

    credit: Credit
    left: Fraction
    at: int = 0
    rate: Fraction = Fraction(0)
    since: dict[int, int] = field(default_factory=dict)
    """From when on it pays, by place of the piece."""
    version: int = 0
    """Of its looked-for end, which moves whenever the rate changes."""

    def move_on(self, now: int) -> None:
        self.left -= self.rate * (now - self.at)
        self.at = now


@dataclass(slots=True)
class _Burning:
    """What burns, instant by instant."""

    paid: Paid
    pieces: Sequence[_Piece] = ()
    purses: dict[UUID, _Purse] = field(default_factory=dict)
    payer: dict[int, _Purse] = field(default_factory=dict)
    events: list[tuple[int, int, int, int, UUID]] = field(default_factory=list)
    """Instant, what, place of the piece or version, a number that makes it comparable, and the credit."""
    payments: list[Payment] = field(default_factory=list)

    def run(self, pieces: Sequence[_Piece]) -> tuple[Payment, ...]:
        self.pieces = sorted(pieces, key=lambda piece: (piece.key, piece.start))
        nobody = UUID(int=0)
        for place, piece in enumerate(self.pieces):
            self.events += [(piece.start, _BEGIN, place, 0, nobody), (piece.end, _END, place, 0, nobody)]
        heapify(self.events)
        while self.events:
            now, what, number, _, credit_id = heappop(self.events)
            if what == _EMPTY:
                purse = self.purses[credit_id]
                if purse.version == number:
                    self._empty(purse, now)
            elif what == _BEGIN:
                self._begin(number, now)
            elif number in self.payer:
                self._leave(number, now)
        return tuple(sorted(self.payments, key=lambda payment: (payment.start, payment.end)))

    def _begin(self, place: int, now: int) -> None:
        piece = self.pieces[place]
        for credit in piece.credits:
            purse = self.purses.get(credit.id)
            if purse is None:
                left = Fraction(credit.amount_micros, MICROS) - self.paid.get(credit.id, Fraction(0))
                purse = self.purses[credit.id] = _Purse(credit, left, now)
            purse.move_on(now)
            if purse.left > 0:
                purse.rate += piece.rate
                purse.since[place] = now
                self.payer[place] = purse
                self._look_ahead(purse)
                return

    def _leave(self, place: int, now: int) -> None:
        purse, piece = self.payer.pop(place), self.pieces[place]
        purse.move_on(now)
        purse.rate -= piece.rate
        since = purse.since.pop(place)
        self._pay(purse.credit, piece, since, now, piece.rate * (now - since))
        self._look_ahead(purse)

    def _empty(self, purse: _Purse, now: int) -> None:
        """Give out what is left, less than a microsecond costs, and hand the charges to the credits that come next."""
        purse.move_on(now)
        rest = purse.left
        members, purse.since = dict(sorted(purse.since.items())), {}
        purse.left, purse.rate, purse.version = Fraction(0), Fraction(0), purse.version + 1
        for place, since in members.items():
            piece, part = self.pieces[place], min(rest, self.pieces[place].rate)
            rest -= part
            then = now + 1 if part else now
            del self.payer[place]
            self._pay(purse.credit, piece, since, then, piece.rate * (now - since) + part)
            if then < piece.end:
                heappush(self.events, (then, _BEGIN, place, 0, purse.credit.id))

    def _look_ahead(self, purse: _Purse) -> None:
        """Note when it will be empty if nothing changes before."""
        purse.version += 1
        if purse.rate > 0:
            heappush(self.events, (purse.at + purse.left // purse.rate, _EMPTY, purse.version, 0, purse.credit.id))

    def _pay(self, credit: Credit, piece: _Piece, start: int, end: int, amount: Fraction) -> None:
        if amount:
            self.payments.append(Payment(credit, piece.charge, from_microseconds(start), from_microseconds(end), amount))
