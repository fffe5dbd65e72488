"""Counts the time against owners in which they could have said that they still want their requests, and no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from aiplatform_hub.domain.interest import LONGEST_STEP, moved, unseen
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

_LOG = logging.getLogger(__name__)


class InterestClock:
    """Tells the passes of one dispatcher apart by two clocks, and takes out of everybody's time what neither saw pass.

    Nobody leaves the queue because the clock jumped, because no keeper was up, or because the hub was
    away and nobody could confirm anything. What is taken out is written to the requests, so that every
    page and notice says the same.

    Parameters
    ----------
    interest
        How long an owner's word holds.
    monotonic
        Seconds of a clock that never jumps.
    longest_step
        More than this is not counted between two passes.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        outlooks: QueueOutlookStore,
        interest: timedelta,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        longest_step: timedelta = LONGEST_STEP,
    ) -> None:
        self.interest = interest
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._outlooks = outlooks
        self._clock = clock
        self._monotonic = monotonic
        self._longest_step = longest_step
        self._last: tuple[datetime, float] | None = None

    def tick(self) -> None:
        """Note a pass, and take out what does not count since the last one."""
        now, seconds = self._clock(), self._monotonic()
        lost = self._lost(now, seconds)
        if lost:
            self._take_out(lost)
        self._last = now, seconds

    def _lost(self, now: datetime, seconds: float) -> timedelta:
        if self._last is not None:
            at, before = self._last
            return unseen(now - at, timedelta(seconds=seconds - before), self._longest_step)
        with self._database.read() as connection:
            seen_at = self._outlooks.written_at(connection)
        return timedelta(0) if seen_at is None else unseen(now - seen_at, None, self._longest_step)

    def _take_out(self, lost: timedelta) -> None:
        with self._database.write() as connection:
            self._devices.lock(connection)
            now = self._clock()
            words = {a.id: (a.confirmed_at, moved(a.confirmed_at, now, lost, self.interest)) for a in self._allocations.queued(connection) if a.confirmed_at}
            changed = {id_: at for id_, (before, at) in words.items() if at != before}
            self._allocations.set_confirmed(connection, changed)
        if changed:
            _LOG.warning("%s s that nobody saw pass do not count for %s queued requests", int(lost.total_seconds()), len(changed))
