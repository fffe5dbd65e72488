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
        check_loose(self._usage.first_unchained(connection))
        previous = ChainHead()
        for row in self._usage.chained(connection):
            previous = check_row(row, previous)
            check_head(row, previous, outside)
        check_end(previous, outside)
        return VerifiedLedger(rows=previous.sequence, head_hash=previous.hash)


def check_loose(row: UsageInterval | None) -> None:
    """Refuse a closed row outside the chain; None is none.

    Raises
    ------
    LedgerError
        If there is one.
    """
    if row is not None:
        raise LedgerError(f"{_named(row)} was inserted: it is closed but stands outside the chain.")


def check_row(row: UsageInterval, previous: ChainHead) -> ChainHead:
    """Return the chain's head behind a row that continues it.

    Raises
    ------
    LedgerError
        If it does not.
    """
    sequence = row.sequence or 0
    if sequence != previous.sequence + 1:
        raise LedgerError(f"The row with sequence {previous.sequence + 1} was removed: {_named(row)} follows sequence {previous.sequence}.")
    if row.ended_at is None:
        raise LedgerError(f"{_named(row)} was changed: it is in the chain but has no end.")
    if (row.previous_hash or "") != previous.hash:
        raise LedgerError(f"{_named(row)} was inserted or changed: it does not continue sequence {previous.sequence}.")
    if row.hash != chained(row, sequence=sequence, previous_hash=previous.hash).hash:
        raise LedgerError(f"{_named(row)} was changed: its values do not give its hash.")
    return ChainHead(sequence=sequence, hash=row.hash or "")


def check_head(row: UsageInterval | None, reached: ChainHead, outside: ChainHead) -> None:
    """Compare a row's hash with the one kept outside the database, where it is that row's.

    Parameters
    ----------
    row
        The newest row that was looked at; None if it is not at hand.

    Raises
    ------
    LedgerError
        If they differ.
    """
    if reached.sequence == outside.sequence and reached.hash != outside.hash:
        what = f"The row with sequence {reached.sequence}" if row is None else _named(row)
        raise LedgerError(f"{what} was changed: its hash is not the one that the head file keeps.")


def check_end(reached: ChainHead, outside: ChainHead) -> None:
    """Make sure that the chain is as long as the head outside the database says.

    Raises
    ------
    LedgerError
        If rows are missing at its end.
    """
    if reached.sequence < outside.sequence:
        first, last = reached.sequence + 1, outside.sequence
        missing = f"The row with sequence {first} was" if first == last else f"The rows with sequence {first} to {last} were"
        raise LedgerError(f"{missing} removed: the head file knows {last} closed intervals, the database has {reached.sequence}.")


def _named(row: UsageInterval) -> str:
    sequence = "none" if row.sequence is None else row.sequence
    return f"The usage interval {row.id} (sequence {sequence}, user {row.user_name})"
