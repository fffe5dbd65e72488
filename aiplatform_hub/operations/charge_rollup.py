"""Keeps sums of what each day that is over was charged, and makes them anew when something in it changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import DAY, ActivitySum, ChargeSum, RolledDay, activity_without_people, daily_sums, without_people
from aiplatform_hub.errors import ConflictError, LedgerError
from aiplatform_hub.operations.charge_reader import ChargeReader
from aiplatform_hub.operations.charge_sums import CardMarks, ChargeSumReader
from aiplatform_hub.operations.gpu_activity import GpuActivityReader
from aiplatform_hub.storage.charge_rollup import COLUMNS, ChargeRollupStore, SumsQuery
from aiplatform_hub.storage.database import Connection, Database

MARGIN = timedelta(minutes=15)
"""Time after the end of a day in which what ended in it is still written down."""
AGAIN_AFTER = timedelta(minutes=10)
"""A day that changes again and again is made anew at most so often; meanwhile reports read the ledger."""
LONGEST = timedelta(days=3660)
"""What is older is read from the ledger."""
DAYS_AT_ONCE = 7
"""Days that one step makes."""
_LOG = logging.getLogger(__name__)

Sums = tuple[Mapping[bool, Sequence[ChargeSum]], Mapping[bool, Sequence[ActivitySum]]]
"""What was charged and what GPUs did; by person and, under ``False``, without people."""


class ChargeRollup:
    """Rolls days up. A day is one transaction: whoever is killed leaves all of it or nothing. One process at a time, the keeper."""

    def __init__(  # noqa: PLR0913 - its collaborators, by name
        self,
        *,
        database: Database,
        charges: ChargeReader,
        activity: GpuActivityReader,
        rollup: ChargeRollupStore,
        reader: ChargeSumReader,
        cards: Callable[[], tuple[RateCard, ...]],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._charges = charges
        self._activity = activity
        self._rollup = rollup
        self._reader = reader
        self._cards = cards
        self._clock = clock
        self._first: datetime | None = None

    def step(self) -> int:
        """Look what has changed, then make some days that are missing or stale, the newest first; return how many were made.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; the next step goes on.
        """
        self._follow()
        return sum(self.build(day) for day in self._missing()[:DAYS_AT_ONCE])

    def build(self, day: datetime) -> bool:
        """Make the sums of one UTC day; False if it cannot be closed yet, or was changed meanwhile.

        Parameters
        ----------
        day
            UTC midnight at which it begins.

        Raises
        ------
        ConflictError
            If the day is not over.
        """
        now = self._clock()
        if day + DAY > now:
            raise ConflictError(f"{day:%Y-%m-%d} is not over: it is {now:%Y-%m-%dT%H:%M:%SZ}. Is a clock ahead?")
        with self._database.snapshot() as connection:
            before, upto = self._rollup.state(connection), self._rollup.ledger_head(connection)
            begun = self._begun(connection, day)
            if any(seen < day + DAY for seen in begun):
                return False  # nobody knows yet whether it ran until the day's end
            sums, activity = self._compute(connection, day)
        made = RolledDay(day, len(begun), CardMarks(self._cards()).of(day), now)
        with self._database.write() as connection:
            is_other = self._rollup.lock(connection).changes != before.changes or len(self._begun(connection, day)) != len(begun)
            changed = self._rollup.changed_days(connection, upto, self._rollup.ledger_head(connection))
            if is_other or any(first <= made.number <= last for first, last in changed):
                return False
            self._rollup.replace(connection, made, sums, activity)
        return True

    def verify(self) -> int:
        """Compute each day that counts anew, and compare it with its sums; return how many days there are.

        Raises
        ------
        LedgerError
            Naming the first day that differs.
        """
        with self._database.snapshot() as connection:
            days = self._reader.valid_days(connection)
        checked = 0
        for day in days:
            with self._database.snapshot() as connection:
                if self._reader.valid_days(connection, day.start, day.end):
                    self._compare(connection, day.start)
                    checked += 1
        return checked

    def _compare(self, connection: Connection, day: datetime) -> None:
        sums, activity = self._compute(connection, day)
        for by_person in (False, True):
            columns = tuple(name for name in COLUMNS if by_person or name != "user")
            query = SumsQuery(((day, day + DAY),), columns, by_day=True)
            pairs: tuple[tuple[Iterable[object], Iterable[object]], ...] = (
                (sums[by_person], self._rollup.sums(connection, query)),
                (activity[by_person], self._rollup.activity(connection, query)),
            )
            for computed, kept in pairs:
                odd = sorted(map(str, set(computed) ^ set(kept)))
                if odd:
                    raise LedgerError(f"The sums of {day:%Y-%m-%d} are not those of the ledger; the first that differs: {odd[0]}")

    def _follow(self) -> None:
        """Take note of what has changed since the last step, and drop days of a clock that was ahead."""
        now = self._clock()
        with self._database.snapshot() as connection:
            state, upto = self._rollup.state(connection), self._rollup.ledger_head(connection)
            days = self._rollup.days(connection)
            counting = {day.start for day in self._reader.valid_days(connection)} if days else set()
        early = [day.start for day in days if day.end > now]
        stale = [day.start for day in days if day.start not in counting and not day.is_stale and day.end <= now]
        if not early and not stale and state.sequence == upto:
            return
        with self._database.write() as connection:
            for day in early:
                _LOG.warning("%s was rolled up though it is not over: a clock was ahead. Its sums are dropped.", day.date())
                self._rollup.forget(connection, day)
            self._rollup.mark_stale(connection, stale)
            self._rollup.advance(connection, upto)

    def _missing(self) -> list[datetime]:
        now = self._clock()
        with self._database.snapshot() as connection:
            if self._first is None:
                self._first = self._rollup.first_start(connection)
            days = {day.start: day for day in self._rollup.days(connection)}
            silent = [(start, seen) for start, seen in self._rollup.open_intervals(connection) if seen < now - MARGIN]
        if self._first is None:
            return []
        first, found = _midnight(max(self._first, now - LONGEST)), []
        day = _midnight(now - MARGIN) - DAY
        while day >= first:
            kept = days.get(day)
            is_wanted = kept is None or (kept.is_stale and abs(now - kept.built_at) >= AGAIN_AFTER)
            if is_wanted and not any(start < day + DAY and seen < day + DAY for start, seen in silent):
                found.append(day)
            day -= DAY
        return found

    def _begun(self, connection: Connection, day: datetime) -> list[datetime]:
        """Return the last proof of life of each open interval that began before a day's end."""
        return [seen for start, seen in self._rollup.open_intervals(connection) if start < day + DAY]

    def _compute(self, connection: Connection, day: datetime) -> Sums:
        by_person = daily_sums(self._charges.sums(connection, day, day + DAY, columns=COLUMNS, by_day=True, filters={}))
        known = tuple(self._activity.activity(connection, day, day + DAY, columns=COLUMNS, by_day=False, filters={}))
        return {True: by_person, False: without_people(by_person)}, {True: known, False: activity_without_people(known)}


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)
