"""Invoices: drafted, issued with a number, paid, and taken back by credit notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.invoice_json import invoice_values
from aiplatform_hub.domain.invoices import Invoice, InvoiceLine, State, credit_note, issued, number_of, paid, void
from aiplatform_hub.domain.partial_credits import Part, refund
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.invoice_drafts import Drafts, InvoiceDrafter
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.invoice_outbox import HandOver, InvoiceOutbox
from aiplatform_hub.storage.invoices import InvoiceStore

AT_ONCE = 200
"""Documents that are in memory at once while all are read."""

MOST_TEXT = 250
"""Longest reason or payment reference, in characters."""


class Invoices:
    """Each act is one transaction with its audit row and what the accounting is to be told of it."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        catalog: Catalog,
        invoices: InvoiceStore,
        outbox: InvoiceOutbox,
        drafter: InvoiceDrafter,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._catalog = catalog
        self._invoices = invoices
        self._outbox = outbox
        self._drafter = drafter
        self._audit = audit_trail
        self._clock = clock

    def latest(self, filters: Mapping[str, Any], *, limit: int, offset: int = 0) -> tuple[Invoice, ...]:
        """Return invoices and credit notes, the newest month first."""
        with self._database.read() as connection:
            return self._invoices.latest(connection, filters, limit=limit, offset=offset)

    def documents(self, filters: Mapping[str, Any]) -> Iterator[Invoice]:
        """Stream all that was issued, the newest month first; memory does not grow with it."""
        with self._database.snapshot() as connection:
            for first in count(0, AT_ONCE):
                found = self._invoices.latest(connection, filters, limit=AT_ONCE, offset=first)
                yield from (each for each in found if each.number)
                if len(found) < AT_ONCE:
                    return

    def find(self, id_: UUID) -> Invoice:
        """Return one.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        with self._database.read() as connection:
            return self._find(connection, id_)

    def find_number(self, number: str) -> Invoice:
        """Return the one with a number.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        with self._database.read() as connection:
            found = self._invoices.find_number(connection, number)
        if found is None:
            raise NotFoundError(f"There is no invoice {number}.")
        return found

    def hand_overs(self, id_: UUID) -> tuple[HandOver, ...]:
        """Return what the accounting was or is to be told of one."""
        with self._database.read() as connection:
            return self._outbox.of_invoice(connection, id_)

    def draft(self, month: str, *, by: str, cost_centre: str | None = None) -> Drafts:
        """Store the drafts of a month in place of those that are there.

        Raises
        ------
        InvalidOptionError, ConflictError, LedgerError, ServiceUnavailableError
            As :meth:`InvoiceDrafter.drafts`; also if another did the same at this moment. Nothing is written then.
        """
        drafts = self._drafter.drafts(month, by=by, cost_centre=cost_centre)
        try:
            with self._database.write() as connection:
                for invoice in drafts.invoices:
                    self._replace(connection, invoice)
                    self._audit.record(connection, actor=by, action="draft_invoice", target=_target(invoice), outcome="done", detail=_detail(invoice))
        except TakenError as error:
            raise ConflictError(f"Somebody else drafts or issues invoices of {month} at this moment. Look at them, and try again.") from error
        return drafts

    def _replace(self, connection: Connection, invoice: Invoice) -> None:
        before = self._invoices.draft_or_standing(connection, invoice.cost_centre, invoice.period_start)
        if before is not None:
            self._invoices.drop(connection, before.id)
        self._invoices.insert(connection, invoice)

    def drop(self, id_: UUID, *, by: str) -> None:
        """Delete a draft.

        Raises
        ------
        NotFoundError, ConflictError
            If there is none of this id, or it is issued.
        """
        with self._database.write() as connection:
            found = self._find(connection, id_, is_locked=True)
            if found.state is not State.DRAFT:
                raise ConflictError(f"{found.title[0].upper()}{found.title[1:]} is issued and never goes; a credit note takes it back.")
            self._invoices.drop(connection, id_)
            self._audit.record(connection, actor=by, action="drop_invoice", target=_target(found), outcome="done", detail=_detail(found))

    def issue(self, ids: Sequence[UUID], *, by: str) -> tuple[Invoice, ...]:
        """Give drafts their numbers, in this order and each in a transaction of its own.

        Each must say what would be drafted now: the ledger is verified once more, and what changed since is not issued unseen.

        Raises
        ------
        NotFoundError, ConflictError, LedgerError, ServiceUnavailableError
            If one cannot be issued; those before it are.
        """
        month, fresh = "", Drafts((), ())
        done = []
        for id_ in ids:
            draft = self.find(id_)
            if draft.state is not State.DRAFT:
                issued(draft, number="", at=draft.drafted_at, by=by)  # raises what is to be said
            if draft.month != month:  # anew each time: what another month's invoice corrects meanwhile is not demanded here too
                month, fresh = draft.month, self._drafter.drafts(draft.month, by=by)
            _check_fresh(draft, fresh)
            done.append(self._issue_one(draft, by, fresh.demanded.get(draft.cost_centre, ())))
        return tuple(done)

    def _issue_one(self, draft: Invoice, by: str, demanded: tuple[InvoiceLine, ...]) -> Invoice:
        with self._database.write() as connection:
            found = self._find(connection, draft.id, is_locked=True)
            if found.fingerprint != draft.fingerprint:
                raise ConflictError(f"Somebody changed {draft.title} at this moment. Look at it again.")
            done = self._numbered(connection, found, by)
            _, standing = self._invoices.standing_lines(connection, found.cost_centre, found.period_start)
            if standing != demanded:  # behind the number: whoever issues beside us waits there
                raise ConflictError(
                    f"Another invoice of {found.cost_centre} was issued or taken back at this moment. Draft {found.month} anew and look at it again."
                )
            self._invoices.move_on(connection, done)
            self._tell(connection, done, "issued")
            self._audit.record(connection, actor=by, action="issue_invoice", target=_target(done), outcome="done", detail=_detail(done))
        return done

    def pay(self, id_: UUID, *, reference: str, by: str, at: datetime | None = None) -> Invoice:
        """Note that an issued invoice was paid.

        Parameters
        ----------
        at
            When; None is now.

        Raises
        ------
        NotFoundError, ConflictError
            If there is none of this id, or it is not issued.
        InvalidOptionError
            If the reference is too long, or the instant is in the future or before the issue.
        """
        text, now = _short("reference", reference), self._clock()
        with self._database.write() as connection:
            found = self._find(connection, id_, is_locked=True)
            done = paid(found, at=at or now, reference=text)
            if done.paid_at and found.issued_at and not found.issued_at <= done.paid_at <= now:
                raise _invalid("at", f"It was issued on {found.issued_at:%Y-%m-%d %H:%M} UTC; it can only be paid between then and now.")
            self._invoices.move_on(connection, done)
            self._tell(connection, done, "paid")
            self._audit.record(connection, actor=by, action="pay_invoice", target=_target(done), outcome="done", detail=_detail(done))
        return done

    def credit(self, id_: UUID, *, reason: str, by: str, parts: Sequence[Part] = ()) -> Invoice:
        """Take an invoice back and return its credit note, which has the next number.

        Once nothing of the invoice is left it is void, and its month can be drafted anew; until then it stands.

        Parameters
        ----------
        parts
            What to give back of which lines; without them everything that was not given back before.

        Raises
        ------
        NotFoundError, ConflictError
            If there is none of this id, or it is neither issued nor paid, or what is to be given back was so already.
        InvalidOptionError
            If no reason is given, or it is too long, or more is to be given back than there is.
        """
        if not reason.strip():
            raise _invalid("reason", "Say why; it stands on the credit note.")
        text, now = _short("reason", reason), self._clock()
        with self._database.write() as connection:
            found = self._find(connection, id_, is_locked=True)
            draft = self._credit_draft(connection, found, credit_note(found, id_=uuid4(), at=now, by=by, reason=text), parts)
            self._invoices.insert(connection, draft)
            note = self._numbered(connection, draft, by)
            self._invoices.move_on(connection, note)
            if not note.is_partial:
                self._invoices.move_on(connection, void(found, credited_by=note.number or ""))
            self._tell(connection, note, "issued")
            self._audit.record(connection, actor=by, action="credit_invoice", target=_target(note), outcome="done", detail=_detail(note))
        return note

    def _credit_draft(self, connection: Connection, invoice: Invoice, whole: Invoice, parts: Sequence[Part]) -> Invoice:
        """Return the credit note with what it gives back; the invoice is locked, so nobody gives it back too."""
        given = refund(invoice, self._invoices.partial_notes(connection, invoice), parts)
        if parts and not given.is_rest:
            whole = replace(whole, is_partial=True, estimated_microseconds=0)
        return replace(whole, lines=given.lines, net=given.net, tax=given.tax)

    def _numbered(self, connection: Connection, draft: Invoice, by: str) -> Invoice:
        now = self._clock()
        entity = self._catalog.legal_entities.get(draft.legal_entity)
        if entity is None:
            raise ConflictError(f"The legal entity {draft.legal_entity} is not in the catalogue any more; put it back into legal_entities.yaml.")
        sequence, before = self._invoices.next_number(connection, draft.legal_entity, now)
        if before > now:
            raise ConflictError(
                f"The last invoice of {draft.legal_entity} was issued on {before:%Y-%m-%d %H:%M} UTC, and this clock says {now:%Y-%m-%d %H:%M} UTC: "
                "set it right first, so that numbers stay in order."
            )
        number = number_of(entity.number_prefix, now.year, sequence)
        taken = self._invoices.find_number(connection, number)
        if taken is not None:
            raise ConflictError(
                f"There is an invoice {number} already, of the legal entity {taken.legal_entity}: give {draft.legal_entity} another number_prefix in "
                "legal_entities.yaml."
            )
        return issued(draft, number=number, at=now, by=by)

    def _tell(self, connection: Connection, invoice: Invoice, event: str) -> None:
        message_id = uuid4()
        body = json.dumps({"id": str(message_id), "event": event, "invoice": invoice_values(invoice)}, ensure_ascii=False, sort_keys=True)
        self._outbox.put(connection, HandOver(id=message_id, invoice_id=invoice.id, event=event, at=self._clock(), body=body))

    def _find(self, connection: Connection, id_: UUID, *, is_locked: bool = False) -> Invoice:
        found = self._invoices.find(connection, id_, is_locked=is_locked)
        if found is None:
            raise NotFoundError(f"There is no invoice {id_}.")
        return found


def _check_fresh(draft: Invoice, fresh: Drafts) -> None:
    now = next((each for each in fresh.invoices if each.cost_centre == draft.cost_centre), None)
    if now is None:
        why = next((each.reason for each in fresh.left_out if each.cost_centre == draft.cost_centre), "Nothing is owed any more.")
        raise ConflictError(f"{draft.title[0].upper()}{draft.title[1:]} cannot be issued. {why}")
    if now.fingerprint != draft.fingerprint:
        raise ConflictError(
            f"What {draft.title} says has changed since it was drafted: it demands {draft.total} {draft.currency}, and now it would be "
            f"{now.total} {now.currency}. Draft it anew and look at it again."
        )


def _short(option: str, text: str) -> str:
    if len(text) > MOST_TEXT or not text.isprintable():
        raise _invalid(option, f"The {option} must be one line of at most {MOST_TEXT} characters.")
    return text.strip()


def _invalid(option: str, message: str) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=option),))


def _target(invoice: Invoice) -> str:
    return f"invoice:{invoice.number or invoice.id}"


def _detail(invoice: Invoice) -> dict[str, Any]:
    known = {"cost_centre": invoice.cost_centre, "month": invoice.month, "total": format(invoice.total, "f"), "currency": invoice.currency}
    more = {
        "credits": invoice.credits,
        "is_partial": invoice.is_partial or None,
        "reason": invoice.reason or None,
        "payment_reference": invoice.payment_reference or None,
    }
    return {**known, **{name: value for name, value in more.items() if value is not None}}
