"""Checks the ledger's chain row by row."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform_hub.domain.ledger import chained
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.errors import LedgerError
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.usage import ChainHead, UsageStore


@dataclass(frozen=True, slots=True)
class VerifiedLedger:
    """A ledger without a fault."""

    rows: int
    """Closed intervals in the chain."""
    head_hash: str
    """Hash of the newest; empty when there is none."""


class LedgerVerifier:
    """Walks the chain in order and compares its end with the head kept outside the database."""

    def __init__(self, database: Database, head: LedgerHead, usage: UsageStore | None = None) -> None:
        self._database = database
        self._head = head
        self._usage = usage or UsageStore()

    def verify(self) -> VerifiedLedger:
        """Check every closed row.

        Raises
        ------
        LedgerError
            Naming the first row that was changed, removed or inserted.
        """
        try:
            # before the rows: the head may move while they are read, and then they must be ahead of it
            outside = self._head.read()
        except ValueError as error:
            raise LedgerError(f"The ledger's head file cannot be read: {error}.") from error
        with self._database.read() as connection:
            return self._walk(connection, outside)

    def _walk(self, connection: Connection, outside: ChainHead) -> VerifiedLedger:
        loose = self._usage.first_unchained(connection)
        if loose is not None:
            raise LedgerError(f"{_named(loose)} was inserted: it is closed but stands outside the chain.")
        previous = ChainHead()
        for row in self._usage.chained(connection):
            self._check(row, previous)
            previous = ChainHead(sequence=row.sequence or 0, hash=row.hash or "")
            if previous.sequence == outside.sequence and previous.hash != outside.hash:
                raise LedgerError(f"{_named(row)} was changed: its hash is not the one that the head file keeps.")
        if previous.sequence < outside.sequence:
            first, last = previous.sequence + 1, outside.sequence
            missing = f"The row with sequence {first} was" if first == last else f"The rows with sequence {first} to {last} were"
            raise LedgerError(f"{missing} removed: the head file knows {last} closed intervals, the database has {previous.sequence}.")
        return VerifiedLedger(rows=previous.sequence, head_hash=previous.hash)

    def _check(self, row: UsageInterval, previous: ChainHead) -> None:
        sequence = row.sequence or 0
        if sequence != previous.sequence + 1:
            raise LedgerError(f"The row with sequence {previous.sequence + 1} was removed: {_named(row)} follows sequence {previous.sequence}.")
        if row.ended_at is None:
            raise LedgerError(f"{_named(row)} was changed: it is in the chain but has no end.")
        if (row.previous_hash or "") != previous.hash:
            raise LedgerError(f"{_named(row)} was inserted or changed: it does not continue sequence {previous.sequence}.")
        if row.hash != chained(row, sequence=sequence, previous_hash=previous.hash).hash:
            raise LedgerError(f"{_named(row)} was changed: its values do not give its hash.")


def _named(row: UsageInterval) -> str:
    sequence = "none" if row.sequence is None else row.sequence
    return f"The usage interval {row.id} (sequence {sequence}, user {row.user_name})"
