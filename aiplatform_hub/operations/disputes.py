"""Lines of invoices are disputed by who reads them, and answered by admins; both are kept."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from aiplatform_hub.domain.disputes import Dispute, Entry, EntryKind, answered, check_disputable, check_new, entry_text, replied, withdrawn
from aiplatform_hub.domain.invoices import Invoice
from aiplatform_hub.domain.notices import NoticeKind
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.notices import Notices
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.disputes import DisputeFilter, DisputeStore
from aiplatform_hub.storage.invoices import InvoiceStore

MOST_OF_ONE = 1_000
"""So many disputes of one invoice are read."""
MOST_QUOTED = 300
"""So many characters of what was said stand in a notice."""
_TOLD = {
    EntryKind.OPENED: NoticeKind.DISPUTED,
    EntryKind.REPLIED: NoticeKind.DISPUTED,
    EntryKind.ANSWERED: NoticeKind.DISPUTE_ANSWERED,
    EntryKind.WITHDRAWN: NoticeKind.DISPUTE_WITHDRAWN,
}


class Disputes:
    """Each act is one transaction with its audit row and what the other side is told. Who may act is the caller's matter."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        disputes: DisputeStore,
        invoices: InvoiceStore,
        notices: Notices,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._disputes = disputes
        self._invoices = invoices
        self._notices = notices
        self._audit = audit_trail
        self._clock = clock

    def latest(self, which: DisputeFilter, *, limit: int, offset: int = 0) -> tuple[tuple[Dispute, Invoice], ...]:
        """Return disputes with their invoices, the one that was spoken in last first."""
        with self._database.read() as connection:
            found = self._disputes.latest(connection, which, limit=limit, offset=offset)
            invoices = {id_: self._invoice(connection, id_) for id_ in {each.invoice_id for each in found}}
        return tuple((each, invoices[each.invoice_id]) for each in found)

    def of_invoice(self, invoice_id: UUID) -> tuple[Dispute, ...]:
        """Return the disputes of one invoice, the one that was spoken in last first."""
        with self._database.read() as connection:
            return self._disputes.latest(connection, DisputeFilter(invoice_id=invoice_id), limit=MOST_OF_ONE)

    def find(self, id_: UUID) -> tuple[Dispute, Invoice]:
        """Return one, with its invoice.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        with self._database.read() as connection:
            found = self._find(connection, id_)
            return found, self._invoice(connection, found.invoice_id)

    def open(self, invoice_id: UUID, position: int, *, text: str, by: str, tell: Collection[str] = ()) -> tuple[Dispute, Invoice]:
        """Dispute a line.

        Parameters
        ----------
        tell
            Names of the admins.

        Raises
        ------
        NotFoundError
            If there is no such invoice or line.
        ConflictError
            If it is a draft or was taken back, or the line is disputed already.
        InvalidOptionError
            If the text is empty or too long.
        """
        entry = Entry(1, EntryKind.OPENED, by, self._clock(), entry_text(text))
        with self._database.write() as connection:
            invoice = self._invoice(connection, invoice_id, is_locked=True)
            check_disputable(invoice, position)
            check_new(self._disputes.latest(connection, DisputeFilter(invoice_id=invoice_id), limit=MOST_OF_ONE), position)
            dispute = Dispute(uuid4(), invoice_id, position, (entry,))
            self._disputes.insert(connection, dispute)
            self._tell(connection, dispute, invoice, tell)
            self._audit.record(connection, actor=by, action="open_dispute", target=_target(dispute), outcome="done", detail=_detail(dispute, invoice))
        return dispute, invoice

    def reply(self, id_: UUID, *, text: str, by: str, tell: Collection[str] = ()) -> tuple[Dispute, Invoice]:
        """Say more about a dispute: it is open again.

        Raises
        ------
        NotFoundError, ConflictError, InvalidOptionError
            As :func:`aiplatform_hub.domain.disputes.replied`, and if there is none of this id.
        """
        with self._database.write() as connection:
            found, invoice = self._locked(connection, id_)
            dispute = self._say(connection, found, replied(found, by=by, at=self._clock(), text=text))
            self._tell(connection, dispute, invoice, tell)
            self._audit.record(connection, actor=by, action="reply_dispute", target=_target(dispute), outcome="done", detail=_detail(dispute, invoice))
        return dispute, invoice

    def answer(self, id_: UUID, *, text: str, by: str) -> tuple[Dispute, Invoice]:
        """Answer a dispute; who disputes is told.

        Raises
        ------
        NotFoundError, ConflictError, InvalidOptionError
            As :func:`aiplatform_hub.domain.disputes.answered`, and if there is none of this id.
        """
        with self._database.write() as connection:
            found, invoice = self._locked(connection, id_)
            dispute = self._say(connection, found, answered(found, by=by, at=self._clock(), text=text))
            self._tell(connection, dispute, invoice, found.disputants)
            self._audit.record(connection, actor=by, action="answer_dispute", target=_target(dispute), outcome="done", detail=_detail(dispute, invoice))
        return dispute, invoice

    def withdraw(self, id_: UUID, *, text: str = "", by: str, tell: Collection[str] = ()) -> tuple[Dispute, Invoice]:
        """End one's own dispute.

        Raises
        ------
        NotFoundError, ForbiddenError, ConflictError, InvalidOptionError
            As :func:`aiplatform_hub.domain.disputes.withdrawn`, and if there is none of this id.
        """
        with self._database.write() as connection:
            found, invoice = self._locked(connection, id_)
            dispute = self._say(connection, found, withdrawn(found, by=by, at=self._clock(), text=text))
            self._tell(connection, dispute, invoice, tell)
            self._audit.record(connection, actor=by, action="withdraw_dispute", target=_target(dispute), outcome="done", detail=_detail(dispute, invoice))
        return dispute, invoice

    def _locked(self, connection: Connection, id_: UUID) -> tuple[Dispute, Invoice]:
        """Return a dispute as it stands while nobody else speaks about its invoice."""
        invoice = self._invoice(connection, self._find(connection, id_).invoice_id, is_locked=True)
        return self._find(connection, id_), invoice

    def _say(self, connection: Connection, dispute: Dispute, entry: Entry) -> Dispute:
        self._disputes.add(connection, dispute.id, entry)
        return replace(dispute, entries=(*dispute.entries, entry))

    def _tell(self, connection: Connection, dispute: Dispute, invoice: Invoice, names: Collection[str]) -> None:
        entry = dispute.entries[-1]
        for name in sorted({*names} - {entry.by}):
            self._notices.tell(
                connection,
                key=f"dispute:{dispute.id}:{entry.number}:{sha256(name.encode()).hexdigest()[:32]}",
                user_name=name,
                allocation_id=None,
                kind=_TOLD[entry.kind],
                detail=_about(dispute, invoice),
                at=entry.at,
            )

    def _find(self, connection: Connection, id_: UUID) -> Dispute:
        found = self._disputes.find(connection, id_)
        if found is None:
            raise NotFoundError(f"There is no dispute {id_}.")
        return found

    def _invoice(self, connection: Connection, id_: UUID, *, is_locked: bool = False) -> Invoice:
        found = self._invoices.find(connection, id_, is_locked=is_locked)
        if found is None:
            raise NotFoundError(f"There is no invoice {id_}.")
        return found


def _target(dispute: Dispute) -> str:
    return f"dispute:{dispute.id}"


def _detail(dispute: Dispute, invoice: Invoice) -> dict[str, Any]:
    return {"invoice": invoice.number or str(invoice.id), "position": dispute.position, "text": dispute.entries[-1].text}


def _about(dispute: Dispute, invoice: Invoice) -> dict[str, Any]:
    """Return the detail of a notice, as :meth:`Notices.about` does for sessions."""
    entry = dispute.entries[-1]
    quoted = entry.text if len(entry.text) <= MOST_QUOTED else f"{entry.text[:MOST_QUOTED]}…"
    return {
        "title": f"line {dispute.position} of {invoice.title}",
        "server_name": "",
        "gpus": "",
        "word": entry.by,
        "until": None,
        "cause": entry.kind.value,
        "is_back": False,
        "message": " ".join(quoted.split()),
        "page": f"billing/invoices/{invoice.id}/lines/{dispute.position}",
    }
