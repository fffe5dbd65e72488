"""How charges become the lines of an invoice. Pure and exact: nothing is rounded but the lines' amounts, once, so that they add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from aiplatform_hub.domain.budgets import Scope
from aiplatform_hub.domain.catalog import CostCentre, LegalEntity
from aiplatform_hub.domain.charges import CREDIT_PARTS, Charge, Sku
from aiplatform_hub.domain.credits import Credit, Payment
from aiplatform_hub.domain.invoices import CREDIT_PREFIX, Invoice, InvoiceLine, Kind, Party, State, places_of
from aiplatform_hub.domain.rounding import apportion, rounded


@dataclass(frozen=True, slots=True)
class LineKey:
    """What one line is about."""

    project: str
    sku: Sku
    gpu_type: str | None
    list_price: Decimal
    price: Decimal
    rate_card: str
    is_off_peak: bool
    is_correction: bool

    @property
    def order(self) -> tuple[object, ...]:
        """What lines are sorted by."""
        return (
            self.is_correction,
            self.sku is Sku.CREDIT,
            self.project,
            list(Sku).index(self.sku),
            self.gpu_type or "",
            self.rate_card,
            self.is_off_peak,
            -self.price,
        )


Units = Mapping[LineKey, int]
"""Unit-microseconds by line."""


@dataclass(slots=True)
class Tally:
    """What one cost centre used in one month."""

    month: datetime
    units: dict[LineKey, int] = field(default_factory=dict)
    estimated_microseconds: int = 0
    """Unit-time whose end nobody saw, of the GPUs or environments themselves: cores and memory do not count it again."""
    currencies: set[str] = field(default_factory=set)
    paid: dict[Credit, Fraction] = field(default_factory=dict)
    """What credits paid of it."""

    def add(self, charge: Charge) -> None:
        """Count one charge; a correction is part of what the month holds now, and a line of its own only where the month was invoiced without it."""
        key = LineKey(charge.project, charge.sku, charge.gpu_type, charge.list_price, charge.price, charge.rate_card, charge.is_off_peak, is_correction=False)
        self.units[key] = self.units.get(key, 0) + charge.unit_microseconds
        self.currencies.add(charge.currency)
        if charge.is_estimated and charge.sku in _TIME_ITSELF:
            self.estimated_microseconds += charge.unit_microseconds

    def pay(self, payment: Payment) -> None:
        """Count what a credit paid."""
        self.paid[payment.credit] = self.paid.get(payment.credit, Fraction(0)) + payment.amount

    @property
    def demanded(self) -> dict[LineKey, int]:
        """Return units by line, with a line that takes back what each credit paid."""
        return {**self.units, **{_credit_key(credit): -round(amount * CREDIT_PARTS) for credit, amount in self.paid.items()}}


def _credit_key(credit: Credit) -> LineKey:
    """Return the line of a credit: so many units of the currency at the price 1, in the place of a rate card its id."""
    project = credit.name if credit.scope is Scope.PROJECT else ""
    return LineKey(project, Sku.CREDIT, None, Decimal(1), Decimal(1), f"{CREDIT_PREFIX}{credit.id}", is_off_peak=False, is_correction=False)


_TIME_ITSELF = frozenset({Sku.GPU_HOUR, Sku.IDLE_GPU_HOUR, Sku.CPU_ONLY_HOUR})


def tallies(month: datetime, charges: Iterable[Charge]) -> dict[str, Tally]:
    """Return what each cost centre used in a month, by name.

    Parameters
    ----------
    month
        Its begin, aware UTC.
    charges
        Every charge of the month, in any order.
    """
    found: dict[str, Tally] = {}
    for charge in charges:
        found.setdefault(charge.cost_centre, Tally(month)).add(charge)
    return found


def count_payments(found: Mapping[datetime, Mapping[str, Tally]], payments: Iterable[Payment]) -> None:
    """Count in the tallies of some months what credits paid then; payments of other months are passed over."""
    for payment in payments:
        of_month = found.get(payment.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0), {})
        if payment.charge.cost_centre in of_month:
            of_month[payment.charge.cost_centre].pay(payment)


def billed(lines: Iterable[InvoiceLine]) -> dict[datetime, dict[LineKey, int]]:
    """Return what lines of invoices that stand demand already, by the month that they are about."""
    found: dict[datetime, dict[LineKey, int]] = {}
    for line in lines:
        key = LineKey(line.project, line.sku, line.gpu_type, line.list_price, line.price, line.rate_card, line.is_off_peak, is_correction=True)
        of_month = found.setdefault(line.month, {})
        of_month[key] = of_month.get(key, 0) + line.unit_microseconds
    return found


def lines_of(own: Tally, earlier: Sequence[Tally], demanded: Mapping[datetime, Units], places: int) -> tuple[InvoiceLine, ...]:
    """Return the lines of an invoice; their amounts add up to the rounded exact total.

    Parameters
    ----------
    own
        What was used in its month.
    earlier
        What was used, as it is known now, in the months of the invoices that stand.
    demanded
        What those invoices demand, as :func:`billed` has it: a difference becomes a correction line.
    places
        Decimal places of the currency.
    """
    found: dict[tuple[datetime, LineKey], int] = {}
    _add(found, own.month, own.demanded, 1)
    _add(found, own.month, demanded.get(own.month, {}), -1)
    for tally in earlier:
        _add(found, tally.month, _as_corrections(tally.demanded), 1)
        _add(found, tally.month, demanded.get(tally.month, {}), -1)
    kept = sorted(
        ((month, key, units) for (month, key), units in found.items() if units and (key.price or key.list_price)),
        key=lambda entry: (entry[1].is_correction, entry[0], entry[1].order),
    )
    lines = [_line(position, month, key, units) for position, (month, key, units) in enumerate(kept, 1)]
    amounts = apportion([line.exact_amount for line in lines], places)
    return tuple(replace(line, amount=amount) for line, amount in zip(lines, amounts, strict=True))


def _add(found: dict[tuple[datetime, LineKey], int], month: datetime, units: Units, sign: int) -> None:
    for key, count in units.items():
        found[month, key] = found.get((month, key), 0) + sign * count


def _as_corrections(units: Units) -> dict[LineKey, int]:
    found: dict[LineKey, int] = {}
    for key, count in units.items():
        correction = replace(key, is_correction=True)
        found[correction] = found.get(correction, 0) + count
    return found


def _line(position: int, month: datetime, key: LineKey, units: int) -> InvoiceLine:
    return InvoiceLine(
        position=position,
        project=key.project,
        sku=key.sku,
        gpu_type=key.gpu_type,
        list_price=key.list_price,
        price=key.price,
        rate_card=key.rate_card,
        is_off_peak=key.is_off_peak,
        is_correction=key.is_correction,
        month=month,
        unit_microseconds=units,
        amount=Decimal(0),
    )


@dataclass(frozen=True, slots=True)
class Drafting:
    """The circumstances of a draft."""

    id: UUID
    at: datetime
    by: str
    ledger_rows: int
    ledger_hash: str


def drafted(  # noqa: PLR0913  what an invoice is made of
    entity: LegalEntity, centre: CostCentre, *, own: Tally, period_end: datetime, lines: tuple[InvoiceLine, ...], drafting: Drafting
) -> Invoice:
    """Return the draft of an invoice."""
    places = places_of(entity.currency)
    net = sum((line.amount for line in lines), rounded(Fraction(0), places))
    tax = rounded(Fraction(net) * Fraction(entity.tax_percent or 0) / 100, places)
    return Invoice(
        id=drafting.id,
        kind=Kind.INVOICE,
        state=State.DRAFT,
        legal_entity=entity.name,
        cost_centre=centre.name,
        seller=Party(
            entity.display_name, entity.address, entity.country, entity.tax_id, registration_id=entity.registration_id, email=entity.email, logo=entity.logo
        ),
        buyer=Party(centre.display_name, centre.address, centre.country, centre.tax_id, centre.code, email=centre.email),
        currency=entity.currency,
        period_start=own.month,
        period_end=period_end,
        lines=lines,
        net=net,
        tax_percent=entity.tax_percent,
        tax=tax,
        payment_days=entity.payment_days,
        payment_account=entity.payment_account,
        iban=entity.iban,
        bic=entity.bic,
        estimated_microseconds=own.estimated_microseconds,
        ledger_rows=drafting.ledger_rows,
        ledger_hash=drafting.ledger_hash,
        drafted_at=drafting.at,
        drafted_by=drafting.by,
    )


def currency_problem(entity: LegalEntity, centre: str, own: Tally) -> str | None:
    """Return why a month's charges cannot stand on an invoice in the currency of a legal entity; None if they can."""
    others = sorted(own.currencies - {entity.currency})
    if not others:
        return None
    return (
        f"{centre} has charges in {', '.join(others)} in {own.month:%Y-%m}, but {entity.name} invoices in {entity.currency}: "
        "give the rate card and the legal entity one currency."
    )
