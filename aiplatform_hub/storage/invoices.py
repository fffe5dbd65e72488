"""Invoices as rows. Drafts may be replaced; of issued ones only the state moves on."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, Kind, Party, State
from aiplatform_hub.storage.invoice_tables import invoice_lines, invoice_numbers, invoices

FILTERS = ("kind", "state", "legal_entity", "cost_centre", "period_start")
"""What invoices can be chosen by."""
_COLUMNS = invoices.c
_STANDS = (_COLUMNS.kind == Kind.INVOICE.value, _COLUMNS.state.in_((State.ISSUED.value, State.PAID.value)))


class InvoiceStore:
    """Reads and writes invoices, lines and numbers."""

    def insert(self, connection: Connection, invoice: Invoice) -> None:
        """Store a draft with its lines.

        Raises
        ------
        TakenError
            If another invoice of the cost centre and month stands, or another credit note takes the same invoice back.
        """
        connection.execute(insert(invoices).values(**_values(invoice)))
        if invoice.lines:
            connection.execute(insert(invoice_lines), [_line_values(invoice.id, line) for line in invoice.lines])

    def drop(self, connection: Connection, id_: UUID) -> bool:
        """Delete a draft; False if there is none of this id."""
        drafts = select(_COLUMNS.id).where(_COLUMNS.id == id_, _COLUMNS.number.is_(None))
        connection.execute(delete(invoice_lines).where(invoice_lines.c.invoice_id.in_(drafts)))
        return bool(connection.execute(delete(invoices).where(_COLUMNS.id == id_, _COLUMNS.number.is_(None))).rowcount)

    def find(self, connection: Connection, id_: UUID, *, is_locked: bool = False) -> Invoice | None:
        """Return one by its id, or None.

        Parameters
        ----------
        is_locked
            Whether other writers have to wait until this transaction ends.
        """
        return self._one(connection, _locked(select(invoices).where(_COLUMNS.id == id_), is_locked=is_locked))

    def find_number(self, connection: Connection, number: str) -> Invoice | None:
        """Return one by its number, or None."""
        return self._one(connection, select(invoices).where(_COLUMNS.number == number))

    def draft_or_standing(self, connection: Connection, cost_centre: str, month: datetime) -> Invoice | None:
        """Return the one invoice of a cost centre's month that is not void, or None."""
        mine = (_COLUMNS.kind == Kind.INVOICE.value, _COLUMNS.state != State.VOID.value, _COLUMNS.cost_centre == cost_centre, _COLUMNS.period_start == month)
        return self._one(connection, select(invoices).where(*mine))

    def latest(self, connection: Connection, filters: Mapping[str, Any], *, limit: int, offset: int = 0) -> tuple[Invoice, ...]:
        """Return those that fit, the newest month first; values by name of :data:`FILTERS`."""
        statement = select(invoices).where(*(_COLUMNS[name] == value for name, value in filters.items()))
        order = (_COLUMNS.period_start.desc(), _COLUMNS.cost_centre, _COLUMNS.drafted_at, _COLUMNS.id)
        return self._all(connection, statement.order_by(*order).limit(limit).offset(offset))

    def standing_lines(self, connection: Connection, cost_centre: str, before: datetime) -> tuple[frozenset[datetime], tuple[InvoiceLine, ...]]:
        """Return the months before an instant that a cost centre's standing invoices are for, and the lines of all its standing invoices."""
        mine = (*_STANDS, _COLUMNS.cost_centre == cost_centre)
        months = connection.execute(select(_COLUMNS.period_start).where(*mine, _COLUMNS.period_start < before)).scalars()
        lines = select(invoice_lines).join(invoices, _COLUMNS.id == invoice_lines.c.invoice_id).where(*mine)
        rows = connection.execute(lines.order_by(invoice_lines.c.invoice_id, invoice_lines.c.position)).mappings()
        return frozenset(months), tuple(_line(row) for row in rows)

    def partial_notes(self, connection: Connection, invoice: Invoice) -> tuple[Invoice, ...]:
        """Return the credit notes that gave back parts of an invoice, in order of their numbers."""
        mine = (_COLUMNS.cost_centre == invoice.cost_centre, _COLUMNS.period_start == invoice.period_start)
        partial = (_COLUMNS.kind == Kind.CREDIT_NOTE.value, _COLUMNS.credits.is_(None), _COLUMNS.number.is_not(None))
        found = self._all(connection, select(invoices).where(*mine, *partial).order_by(_COLUMNS.issued_at, _COLUMNS.number))
        return tuple(note for note in found if note.credits == invoice.number)

    def next_number(self, connection: Connection, legal_entity: str, at: datetime) -> tuple[int, datetime]:
        """Take the next number of a legal entity in the year of an instant; return it and when the one before was given.

        The row stays locked until the transaction ends, and is as before if it does not commit.
        """
        columns, values = invoice_numbers.c, {"legal_entity": legal_entity, "year": at.year}
        dialects: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
        first = dialects[connection.dialect.name](invoice_numbers).values(**values, last=0, last_issued_at=at)
        connection.execute(first.on_conflict_do_nothing(index_elements=["legal_entity", "year"]))
        mine = (columns.legal_entity == legal_entity, columns.year == at.year)
        before = connection.execute(_locked(select(invoice_numbers).where(*mine), is_locked=True)).mappings().one()
        connection.execute(update(invoice_numbers).where(*mine).values(last=before["last"] + 1, last_issued_at=at))
        return int(before["last"]) + 1, before["last_issued_at"]

    def move_on(self, connection: Connection, invoice: Invoice) -> None:
        """Store what has become of an invoice since: number, state, payment, credit note."""
        values = _values(invoice)
        moved = ("state", "number", "issued_at", "issued_by", "paid_at", "payment_reference", "credited_by")
        connection.execute(update(invoices).where(_COLUMNS.id == invoice.id).values(**{name: values[name] for name in moved}))

    def _one(self, connection: Connection, statement: Select[Any]) -> Invoice | None:
        found = self._all(connection, statement)
        return found[0] if found else None

    @staticmethod
    def _all(connection: Connection, statement: Select[Any]) -> tuple[Invoice, ...]:
        rows = connection.execute(statement).mappings().all()
        lines: dict[UUID, list[InvoiceLine]] = {row["id"]: [] for row in rows}
        if rows:
            ordered = select(invoice_lines).where(invoice_lines.c.invoice_id.in_(lines)).order_by(invoice_lines.c.position)
            for line in connection.execute(ordered).mappings():
                lines[line["invoice_id"]].append(_line(line))
        return tuple(_invoice(row, lines[row["id"]]) for row in rows)


def _locked(statement: Select[Any], *, is_locked: bool) -> Select[Any]:
    return statement.with_for_update() if is_locked else statement  # SQLite has one writer anyway, and leaves it out


def _values(invoice: Invoice) -> dict[str, Any]:
    same = (
        *("id", "legal_entity", "cost_centre", "currency", "period_start", "period_end", "net", "tax", "drafted_at", "number"),
        *("issued_at", "issued_by", "paid_at", "payment_reference", "credited_by"),
    )
    document = {
        "seller": _party_values(invoice.seller),
        "buyer": _party_values(invoice.buyer),
        "tax_percent": None if invoice.tax_percent is None else str(invoice.tax_percent),
        "payment_days": invoice.payment_days,
        "payment_account": invoice.payment_account,
        "iban": invoice.iban,
        "bic": invoice.bic,
        "estimated_microseconds": invoice.estimated_microseconds,
        "ledger_rows": invoice.ledger_rows,
        "ledger_hash": invoice.ledger_hash,
        "drafted_by": invoice.drafted_by,
        "reason": invoice.reason,
        "part_of": invoice.credits if invoice.is_partial else None,
    }
    text = json.dumps(document, ensure_ascii=False, sort_keys=True)
    # The column is for the one note that takes an invoice back as a whole, and unique; those of parts say it in their document.
    own = {"kind": invoice.kind.value, "state": invoice.state.value, "credits": None if invoice.is_partial else invoice.credits, "document": text}
    return {**{name: getattr(invoice, name) for name in same}, **own}


def _party_values(party: Party) -> dict[str, Any]:
    same = {name: getattr(party, name) for name in ("name", "country", "tax_id", "code", "registration_id", "email")}
    return {**same, "address": list(party.address), "logo": b64encode(party.logo).decode()}


def _party(values: Mapping[str, Any]) -> Party:
    return Party(**{**values, "address": tuple(values["address"]), "logo": b64decode(values.get("logo", ""))})


def _invoice(row: RowMapping, lines: Iterable[InvoiceLine]) -> Invoice:
    known = {name: value for name, value in row.items() if name != "document"}
    document = json.loads(row["document"])
    percent, part_of = document.pop("tax_percent"), document.pop("part_of", None)
    if part_of is not None:
        known |= {"credits": part_of, "is_partial": True}
    parties = {name: _party(document.pop(name)) for name in ("seller", "buyer")}
    return Invoice(
        **{**known, **document, **parties, "kind": Kind(row["kind"]), "state": State(row["state"])},
        lines=tuple(lines),
        tax_percent=None if percent is None else Decimal(percent),
    )


def _line_values(invoice_id: UUID, line: InvoiceLine) -> dict[str, Any]:
    same = ("position", "project", "gpu_type", "list_price", "price", "rate_card", "is_off_peak", "is_correction", "month", "amount")
    values = {name: getattr(line, name) for name in same}
    return {"invoice_id": invoice_id, **values, "sku": line.sku.value, "unit_microseconds": Decimal(line.unit_microseconds)}


def _line(row: RowMapping) -> InvoiceLine:
    known = {name: value for name, value in row.items() if name != "invoice_id"}
    return InvoiceLine(**{**known, "sku": Sku(row["sku"]), "unit_microseconds": int(row["unit_microseconds"])})
