"""Checks the ledger's chain a few rows at a time, over and over, beside the work that goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aiplatform_hub.errors import LedgerError
from aiplatform_hub.operations.ledger import check_end, check_head, check_loose, check_row
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.ledger_head import LedgerHead
from aiplatform_hub.storage.usage import ChainHead, UsageStore

ROWS_AT_ONCE = 5_000
"""Rows that one step looks at."""
AGAIN_AFTER = timedelta(days=1)
"""Age from which a walk over the whole chain is made anew; until then only new rows are looked at."""


@dataclass(frozen=True, slots=True)
class LedgerCheck:
    """How far the ledger is verified."""

    rows: int = 0
    """Closed intervals that the present walk has found right, the oldest first."""
    verified_until: datetime | None = None
    """End of the newest of them; None before the first."""
    whole_at: datetime | None = None
    """When a walk last reached the end of the chain without a fault; None if none has."""
    trouble: str = ""
    """The first fault that the last walk found; empty where it found none."""


class LedgerWatch:
    """Walks the chain from its first row to its last, then goes on with what is added.

    Not safe to use from several threads.
    """

    def __init__(self, *, database: Database, usage: UsageStore, head: LedgerHead, clock: Callable[[], datetime], rows_at_once: int = ROWS_AT_ONCE) -> None:
        self._database = database
        self._usage = usage
        self._head = head
        self._clock = clock
        self._rows_at_once = rows_at_once
        self._reached = ChainHead()
        self._begun_at: datetime | None = None
        self.found = LedgerCheck()
        """What is known."""

    def step(self) -> LedgerCheck:
        """Look at the next rows; return what is known then.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        now = self._clock()
        if self._begun_at is None or now - self._begun_at >= AGAIN_AFTER:
            self._begin(now)
        try:
            self._look(now)
        except LedgerError as error:
            self.found = replace(self.found, trouble=error.message)
            self._begun_at = None  # the next step walks from the beginning: what was put right is seen
        return self.found

    def _begin(self, now: datetime) -> None:
        self._reached, self._begun_at = ChainHead(), now
        self.found = replace(self.found, rows=0, verified_until=None)

    def _look(self, now: datetime) -> None:
        try:
            outside = self._head.read()  # before the rows: it may move while they are read, and then they must be ahead of it
        except ValueError as error:
            raise LedgerError(f"The ledger's head file cannot be read: {error}.") from error
        with self._database.read() as connection:
            rows = self._usage.chained_after(connection, self._reached.sequence, limit=self._rows_at_once)
            check_loose(self._usage.first_unchained(connection))
        for row in rows:
            self._reached = check_row(row, self._reached)
            check_head(row, self._reached, outside)
            self.found = replace(self.found, rows=self._reached.sequence, verified_until=row.ended_at)
        if len(rows) < self._rows_at_once:
            check_head(None, self._reached, outside)
            check_end(self._reached, outside)
            self.found = replace(self.found, whole_at=now, trouble="")
