"""Deletes what is older than anybody needs it, in small transactions. The ledger, and what splits it into used and idle, stay."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.retention import RetentionStore

KEPT = timedelta(days=30)
"""How long notices, samples, minutes of sessions, intervals of unknown activity and deleted presets are kept."""
AT_ONCE = 500
"""Rows of one transaction: others wait for it."""
PAUSE_SECONDS = 0.05
"""Time between two transactions, in which others have their turn."""


class Pruner:
    """Deletes in batches until nothing old is left. A kill in between loses nothing."""

    def __init__(
        self,
        *,
        database: Database,
        retention: RetentionStore,
        clock: Callable[[], datetime],
        at_once: int = AT_ONCE,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._retention = retention
        self._clock = clock
        self._at_once = at_once
        self._pause = pause

    def prune(self) -> None:
        """Delete what is old now.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; the next run goes on.
        """
        before = self._clock() - KEPT
        self._in_batches(lambda connection: self._retention.prune_notices(connection, before, limit=self._at_once))
        self._in_batches(lambda connection: self._retention.prune_unknown(connection, before, limit=self._at_once))
        self._in_batches(lambda connection: self._retention.prune_minutes(connection, before, limit=self._at_once))
        with self._database.write() as connection:
            self._retention.prune_samples(connection, before)
            self._retention.prune_presets(connection, before)

    def _in_batches(self, delete_some: Callable[[Connection], int]) -> None:
        is_more = True
        while is_more:
            with self._database.write() as connection:
                is_more = delete_some(connection) >= self._at_once
            if is_more:
                self._pause(PAUSE_SECONDS)
