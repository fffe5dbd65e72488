"""Invoices without their lines, month by month: for lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Connection, select

from aiplatform_hub.domain.invoices import Kind, State
from aiplatform_hub.storage.invoice_tables import invoices

_COLUMNS = invoices.c
_NAMES = ("id", "number", "cost_centre", "legal_entity", "currency", "period_start", "net", "tax", "issued_at", "paid_at", "credits", "credited_by")


@dataclass(frozen=True, slots=True)
class InvoiceHead:
    """What a list shows of an invoice, credit note or draft. Instants are aware UTC."""

    id: UUID
    kind: Kind
    state: State
    number: str | None
    cost_centre: str
    legal_entity: str
    currency: str
    period_start: datetime
    net: Decimal
    tax: Decimal
    issued_at: datetime | None
    paid_at: datetime | None
    credits: str | None
    credited_by: str | None

    @property
    def total(self) -> Decimal:
        """With tax."""
        return self.net + self.tax


class InvoiceHeads:
    """Reads them."""

    def months(self, connection: Connection, *, limit: int, before: datetime | None = None) -> tuple[datetime, ...]:
        """Return the newest months that have documents.

        Parameters
        ----------
        before
            Only months that begin before this instant.
        """
        statement = select(_COLUMNS.period_start).distinct().order_by(_COLUMNS.period_start.desc()).limit(limit)
        if before is not None:
            statement = statement.where(_COLUMNS.period_start < before)
        return tuple(connection.execute(statement).scalars())

    def of_months(self, connection: Connection, months: tuple[datetime, ...]) -> tuple[InvoiceHead, ...]:
        """Return the documents of some months: the newest month first, then by cost centre and time."""
        columns = [_COLUMNS[name] for name in (*_NAMES, "kind", "state")]
        order = (_COLUMNS.period_start.desc(), _COLUMNS.cost_centre, _COLUMNS.drafted_at, _COLUMNS.id)
        rows = connection.execute(select(*columns).where(_COLUMNS.period_start.in_(months)).order_by(*order)).mappings() if months else ()
        return tuple(InvoiceHead(**{**row, "kind": Kind(row["kind"]), "state": State(row["state"])}) for row in rows)
