"""Drafts of invoices: what each cost centre owes for a month that is over, from a ledger that verifies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from aiplatform_hub.domain.billing import Drafting, LineKey, Tally, billed, count_payments, currency_problem, drafted, lines_of, tallies
from aiplatform_hub.domain.catalog import Catalog, LegalEntity
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, State, month_span, places_of
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.domain.report_spans import months_before
from aiplatform_hub.errors import ConflictError, InvalidOptionError, Reason
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.operations.ledger import LedgerVerifier, VerifiedLedger
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.invoices import InvoiceStore
from aiplatform_hub.storage.usage_sums import UsageSums

EARLIER_MONTHS = 12
"""How many months back a difference to what was invoiced is looked for."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A cost centre that gets no draft."""

    cost_centre: str
    reason: str
    """A whole sentence."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """What a month's invoices would be."""

    invoices: tuple[Invoice, ...]
    left_out: tuple[LeftOut, ...]
    demanded: Mapping[str, tuple[InvoiceLine, ...]] = field(default_factory=dict)
    """What each cost centre's standing invoices demanded when the drafts were made: they leave it out."""


class InvoiceDrafter:
    """Computes drafts. Writes nothing."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        invoices: InvoiceStore,
        charges: ChargeReader,
        credits_: CreditReader,
        sums: UsageSums,
        verifier: LedgerVerifier,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._invoices = invoices
        self._charges = charges
        self._credits = credits_
        self._sums = sums
        self._verifier = verifier
        self._clock = clock

    def drafts(self, month: str, *, by: str, cost_centre: str | None = None) -> Drafts:
        """Return the drafts of a month, such as ``2026-11``.

        Parameters
        ----------
        cost_centre
            Only this one's; None is everybody's.

        Raises
        ------
        InvalidOptionError
            If the month is none, or there is no such cost centre.
        ConflictError
            If the month is not over, or a session that began in it is.
        LedgerError
            If the ledger does not verify.
        ServiceUnavailableError
            If the database does not answer.
        """
        start, end = self._span(month)
        if cost_centre is not None and cost_centre not in self._catalog.cost_centres:
            raise _invalid("cost_centre", f"There is no cost centre “{cost_centre}”.", tuple(sorted(self._catalog.cost_centres)))
        now = self._clock()
        with self._database.read() as connection:
            self._check_complete(connection, month, end, now)
        verified = self._verifier.verify()
        with self._database.snapshot() as connection:
            return self._compute(connection, start, end, _Terms(now, by, verified, cost_centre))

    def _span(self, month: str) -> tuple[datetime, datetime]:
        try:
            return month_span(month)
        except ValueError as error:
            raise _invalid("month", str(error), ()) from error

    def _check_complete(self, connection: Connection, month: str, end: datetime, now: datetime) -> None:
        if now < end:
            raise ConflictError(f"{month} is not over: it ends on {end:%Y-%m-%d} at 00:00 UTC, and it is {now:%Y-%m-%d %H:%M} UTC. Draft its invoices then.")
        complete_until = self._sums.complete_until(connection, now)
        if complete_until < end:
            raise ConflictError(
                f"The ledger is complete until {complete_until:%Y-%m-%d %H:%M} UTC only, when a session began that has not ended. "
                f"Invoices of {month} need it until {end:%Y-%m-%d} at 00:00 UTC: draft them after that session's end."
            )

    def _compute(self, connection: Connection, start: datetime, end: datetime, terms: _Terms) -> Drafts:
        first = months_before(start, EARLIER_MONTHS)
        used = tallies(start, self._charges.charges(connection, start, end))
        names = set(used) | set(self._catalog.cost_centres) if terms.cost_centre is None else {terms.cost_centre}
        demanded = {name: self._invoices.standing_lines(connection, name, start) for name in sorted(names)}
        months = sorted({month for found, _ in demanded.values() for month in found if month >= first})
        earlier = {month: tallies(month, self._charges.charges(connection, month, next_month(month))) for month in months}
        count_payments({**earlier, start: used}, self._credits.payments(connection, min((*months, start)), end))
        invoices: list[Invoice] = []
        left_out: list[LeftOut] = []
        for name, (standing, lines) in demanded.items():
            past = [earlier[month].get(name, Tally(month)) for month in months if month in standing]
            found = self._draft_of(connection, name, _Used(used.get(name, Tally(start)), past, lines, end), terms)
            if isinstance(found, Invoice):
                invoices.append(found)
            elif found is not None:
                left_out.append(LeftOut(name, found))
        return Drafts(tuple(invoices), tuple(left_out), {name: lines for name, (_, lines) in demanded.items()})

    def _draft_of(self, connection: Connection, name: str, used: _Used, terms: _Terms) -> Invoice | str | None:
        """Return the draft of one cost centre, or why there is none; None where nobody would expect one."""
        own, month = used.own, used.own.month
        standing = self._invoices.draft_or_standing(connection, name, month)
        if standing is not None and standing.state is not State.DRAFT:
            return f"{name} has {standing.title} for {month:%Y-%m} already."
        entity = self._entity_of(name)
        if entity is None:
            why = (
                "has no legal entity, so it gets no invoices: name one in cost_centres.yaml"
                if name in self._catalog.cost_centres
                else "is not in the catalogue"
            )
            return f"{name} {why}." if own.units or terms.cost_centre else None
        earlier = (tally for tally in used.earlier if tally.units)
        if problem := next(filter(None, (currency_problem(entity, name, tally) for tally in (own, *earlier))), None):
            return problem
        lines = lines_of(own, used.earlier, _of_months(used.demanded, {month, *(tally.month for tally in used.earlier)}), places_of(entity.currency))
        if not lines:
            return f"{name} owes nothing for {month:%Y-%m}." if terms.cost_centre else None
        drafting = Drafting(uuid4(), terms.now, terms.by, terms.verified.rows, terms.verified.head_hash)
        return drafted(entity, self._catalog.cost_centres[name], own=own, period_end=used.end, lines=lines, drafting=drafting)

    def _entity_of(self, cost_centre: str) -> LegalEntity | None:
        centre = self._catalog.cost_centres.get(cost_centre)
        return None if centre is None or centre.legal_entity is None else self._catalog.legal_entities[centre.legal_entity]


@dataclass(frozen=True, slots=True)
class _Terms:
    now: datetime
    by: str
    verified: VerifiedLedger
    cost_centre: str | None


@dataclass(frozen=True, slots=True)
class _Used:
    own: Tally
    earlier: list[Tally]
    demanded: tuple[InvoiceLine, ...]
    end: datetime


def _of_months(lines: Iterable[InvoiceLine], months: set[datetime]) -> dict[datetime, dict[LineKey, int]]:
    return {month: units for month, units in billed(lines).items() if month in months}


def _invalid(option: str, message: str, allowed: tuple[str, ...]) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=option, allowed=allowed),))
