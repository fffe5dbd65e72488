"""What who reads invoices looks at: months, and the sessions behind a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.charges import Charge, Sku
from aiplatform_hub.domain.credits import Payment
from aiplatform_hub.domain.disputes import check_line
from aiplatform_hub.domain.invoice_sessions import LineSessions, SessionCharge, charges_behind, is_of_credit, payments_behind, sessions_behind
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine
from aiplatform_hub.domain.rates import next_month
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.credit_reader import CreditReader
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.disputes import DisputeStore
from aiplatform_hub.storage.invoice_heads import InvoiceHead, InvoiceHeads
from aiplatform_hub.storage.invoices import InvoiceStore

MONTHS = 12
"""So many are shown at once."""


@dataclass(frozen=True, slots=True)
class Months:
    """Some months with their documents, the newest first."""

    documents: tuple[InvoiceHead, ...]
    open_disputes: Mapping[UUID, int]
    """By invoice, without those that have none."""
    earlier_than: datetime | None
    """Where the next older ones begin; None where there are none."""


class BillingReader:
    """Reads; writes nothing."""

    def __init__(  # noqa: PLR0913  keyword-only
        self, *, database: Database, invoices: InvoiceStore, heads: InvoiceHeads, disputes: DisputeStore, charges: ChargeReader, credits_: CreditReader
    ) -> None:
        self._credits = credits_
        self._database = database
        self._invoices = invoices
        self._heads = heads
        self._disputes = disputes
        self._charges = charges

    def months(self, *, before: datetime | None = None) -> Months:
        """Return the newest months that have invoices.

        Parameters
        ----------
        before
            Only months that begin before this instant.
        """
        with self._database.snapshot() as connection:
            found = self._heads.months(connection, limit=MONTHS + 1, before=before)
            documents = self._heads.of_months(connection, found[:MONTHS])
            waiting = self._disputes.open_counts(connection, [each.id for each in documents])
        return Months(documents, waiting, found[MONTHS - 1] if len(found) > MONTHS else None)

    def sessions(self, invoice_id: UUID, position: int) -> tuple[Invoice, LineSessions]:
        """Return the sessions behind a line, as the ledger has them now.

        Raises
        ------
        NotFoundError
            If there is no such invoice or line.
        """
        with self._database.snapshot() as connection:
            invoice, line = self._line(connection, invoice_id, position)
            if line.sku is Sku.CREDIT:
                return invoice, payments_behind(invoice, line, self._payments(connection, invoice, line))
            charges = self._of_month(connection, line, {"cost_centre": invoice.cost_centre, "project": line.project})
            return invoice, sessions_behind(invoice, line, charges)

    def session(self, invoice_id: UUID, position: int, allocation_id: UUID) -> tuple[Invoice, InvoiceLine, tuple[SessionCharge, ...]]:
        """Return what one session behind a line cost in its month: every charge that the invoice's cost centre pays.

        Raises
        ------
        NotFoundError
            If there is no such invoice or line, or the session is not behind it.
        """
        with self._database.snapshot() as connection:
            invoice, line = self._line(connection, invoice_id, position)
            charges = self._of_month(connection, line, {"cost_centre": invoice.cost_centre, "allocation": allocation_id})
            found = charges_behind(invoice, line, charges)
            if line.sku is Sku.CREDIT:
                paid = {payment.charge for payment in self._payments(connection, invoice, line) if is_of_credit(payment, invoice, line)}
                found = tuple(replace(each, is_in_line=each.charge in paid) for each in found)
        if not any(each.is_in_line for each in found):
            raise NotFoundError(f"Session {allocation_id} is not behind line {position} of {invoice.title}.")
        return invoice, line, found

    def _payments(self, connection: Connection, invoice: Invoice, line: InvoiceLine) -> Iterator[Payment]:
        return self._credits.payments(connection, line.month, next_month(line.month), filters={"cost_centre": invoice.cost_centre})

    def _of_month(self, connection: Connection, line: InvoiceLine, filters: Mapping[str, Any]) -> Iterator[Charge]:
        return self._charges.charges(connection, line.month, next_month(line.month), filters=filters)

    def _line(self, connection: Connection, invoice_id: UUID, position: int) -> tuple[Invoice, InvoiceLine]:
        invoice = self._invoices.find(connection, invoice_id)
        if invoice is None:
            raise NotFoundError(f"There is no invoice {invoice_id}.")
        check_line(invoice, position)
        return invoice, next(line for line in invoice.lines if line.position == position)
