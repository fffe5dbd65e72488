"""Disputes of lines of invoices: added to, never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Select, func, insert, select

from aiplatform_hub.domain.disputes import STATES, Dispute, DisputeState, Entry, EntryKind
from aiplatform_hub.storage.dispute_tables import dispute_entries, invoice_disputes

_ENTRY = dispute_entries.c
_LAST = select(_ENTRY.dispute_id, func.max(_ENTRY.number).label("number")).group_by(_ENTRY.dispute_id).subquery()
_STATE = (
    select(invoice_disputes.c.id, invoice_disputes.c.invoice_id, _ENTRY.kind, _ENTRY.at)
    .join(_LAST, _LAST.c.dispute_id == invoice_disputes.c.id)
    .join(dispute_entries, (_ENTRY.dispute_id == _LAST.c.dispute_id) & (_ENTRY.number == _LAST.c.number))
    .subquery()
)


@dataclass(frozen=True, slots=True)
class DisputeFilter:
    """Which disputes; None means any."""

    state: DisputeState | None = None
    invoice_id: UUID | None = None


class DisputeStore:
    """Reads disputes, and adds to them."""

    def insert(self, connection: Connection, dispute: Dispute) -> None:
        """Store a new one with its first entry."""
        connection.execute(insert(invoice_disputes).values(id=dispute.id, invoice_id=dispute.invoice_id, position=dispute.position))
        for entry in dispute.entries:
            self.add(connection, dispute.id, entry)

    def add(self, connection: Connection, dispute_id: UUID, entry: Entry) -> None:
        """Add what somebody says.

        Raises
        ------
        TakenError
            If another entry took its place at this moment.
        """
        values = {"number": entry.number, "kind": entry.kind.value, "by": entry.by, "at": entry.at, "text": entry.text}
        connection.execute(insert(dispute_entries).values(dispute_id=dispute_id, **values))

    def find(self, connection: Connection, id_: UUID) -> Dispute | None:
        """Return one, or None."""
        found = self._all(connection, select(invoice_disputes.c.id).where(invoice_disputes.c.id == id_))
        return found[0] if found else None

    def latest(self, connection: Connection, which: DisputeFilter, *, limit: int, offset: int = 0) -> tuple[Dispute, ...]:
        """Return those that fit, the one that was spoken in last first."""
        statement = select(_STATE.c.id).order_by(_STATE.c.at.desc(), _STATE.c.id).limit(limit).offset(offset)
        if which.state is not None:
            statement = statement.where(_STATE.c.kind.in_([kind.value for kind, state in STATES.items() if state is which.state]))
        if which.invoice_id is not None:
            statement = statement.where(_STATE.c.invoice_id == which.invoice_id)
        return self._all(connection, statement)

    def open_counts(self, connection: Connection, invoice_ids: Collection[UUID]) -> dict[UUID, int]:
        """Return how many disputes of each invoice wait for an answer; none is left out."""
        opened = [kind.value for kind, state in STATES.items() if state is DisputeState.OPEN]
        mine = (_STATE.c.invoice_id.in_(invoice_ids), _STATE.c.kind.in_(opened))
        counts = select(_STATE.c.invoice_id, func.count()).where(*mine).group_by(_STATE.c.invoice_id)
        return {row[0]: row[1] for row in connection.execute(counts)} if invoice_ids else {}

    @staticmethod
    def _all(connection: Connection, ids: Select[Any]) -> tuple[Dispute, ...]:
        wanted: list[UUID] = list(connection.execute(ids).scalars())
        if not wanted:
            return ()
        heads = {row.id: row for row in connection.execute(select(invoice_disputes).where(invoice_disputes.c.id.in_(wanted)))}
        said: dict[UUID, list[Entry]] = {id_: [] for id_ in wanted}
        ordered = select(dispute_entries).where(_ENTRY.dispute_id.in_(wanted)).order_by(_ENTRY.dispute_id, _ENTRY.number)
        for row in connection.execute(ordered).mappings():
            said[row["dispute_id"]].append(Entry(row["number"], EntryKind(row["kind"]), row["by"], row["at"], row["text"]))
        return tuple(_dispute(id_, heads[id_].invoice_id, heads[id_].position, said[id_]) for id_ in wanted)


def _dispute(id_: UUID, invoice_id: UUID, position: int, entries: Iterable[Entry]) -> Dispute:
    return Dispute(id_, invoice_id, position, tuple(entries))
