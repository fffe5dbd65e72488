"""What the accounting is to be told of invoices, as rows written with the act."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, insert, select, update

from aiplatform_hub.storage.invoice_tables import invoice_outbox, invoices

_COLUMNS = invoice_outbox.c


@dataclass(frozen=True, slots=True)
class HandOver:
    """One message; its id is the same in every try."""

    id: UUID
    invoice_id: UUID
    event: str
    at: datetime
    body: str
    """JSON text, exactly as it is signed and sent."""
    attempts: int = 0
    next_at: datetime | None = None
    """When it is tried next; None once it was taken."""
    delivered_at: datetime | None = None
    error: str | None = None
    """Why the last try failed."""


class InvoiceOutbox:
    """Messages in the order in which they were written; none is ever deleted."""

    def put(self, connection: Connection, message: HandOver) -> None:
        """Store a message, due at once."""
        values = {"id": message.id, "invoice_id": message.invoice_id, "event": message.event, "at": message.at, "body": message.body}
        connection.execute(insert(invoice_outbox).values(**values, next_at=message.at))

    def first(self, connection: Connection, legal_entity: str) -> HandOver | None:
        """Return the oldest message about invoices of a legal entity that was not taken yet, due or not: later ones wait for it."""
        mine = (_COLUMNS.next_at.is_not(None), invoices.c.legal_entity == legal_entity)
        statement = select(invoice_outbox).join(invoices, invoices.c.id == _COLUMNS.invoice_id).where(*mine).order_by(_COLUMNS.sequence).limit(1)
        row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _of(row)

    def delivered(self, connection: Connection, message: HandOver, at: datetime) -> None:
        """Note that a message was taken."""
        self._settle(connection, message, {"delivered_at": at, "next_at": None, "error": None})

    def failed(self, connection: Connection, message: HandOver, error: str, next_at: datetime) -> None:
        """Note that a try failed, and when the next one is due."""
        self._settle(connection, message, {"error": error, "next_at": next_at})

    def of_invoice(self, connection: Connection, invoice_id: UUID) -> tuple[HandOver, ...]:
        """Return the messages about an invoice, in order."""
        rows = connection.execute(select(invoice_outbox).where(_COLUMNS.invoice_id == invoice_id).order_by(_COLUMNS.sequence)).mappings()
        return tuple(_of(row) for row in rows)

    @staticmethod
    def _settle(connection: Connection, message: HandOver, values: Mapping[str, Any]) -> None:
        connection.execute(update(invoice_outbox).where(_COLUMNS.id == message.id).values(attempts=message.attempts + 1, **values))


def _of(row: RowMapping) -> HandOver:
    return HandOver(**{name: row[name] for name in HandOver.__dataclass_fields__})
