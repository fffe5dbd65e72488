"""What was used, as charges: read from the ledger, priced by the cards."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import Charged
from aiplatform_hub.domain.charges import Charge, charges
from aiplatform_hub.domain.off_peak import spans
from aiplatform_hub.domain.rates import boundaries, card_at, midnights, months, split
from aiplatform_hub.domain.session_moves import corrections
from aiplatform_hub.domain.session_time import time_sums
from aiplatform_hub.domain.storage_samples import storage_charges, storage_sum
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.charged_use import ACCOUNTS, ChargedUse, ChargedUseStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.session_time import SessionTimeStore, TimeQuery
from aiplatform_hub.storage.storage_samples import reach as storage_reach
from aiplatform_hub.storage.storage_samples import stream as storage_samples
from aiplatform_hub.storage.storage_samples import times as storage_times

LONG = timedelta(days=92)
"""From longer spans on it is worth looking where the ledger begins and ends."""


class ChargeReader:
    """Reads charges, one by one or as sums. The same ledger and the same cards give the same charges, in any process and at any time."""

    def __init__(self, *, uses: ChargedUseStore, cards: Callable[[], tuple[RateCard, ...]]) -> None:
        self._uses = uses
        self._times = SessionTimeStore()
        self._cards = cards

    def charges(self, connection: Connection, start: datetime, end: datetime, *, filters: Mapping[str, Any] | None = None) -> Iterator[Charge]:
        """Stream what of ``[start, end)`` is charged; memory does not grow with the span.

        Open intervals count up to their last proof of life. Sessions that were moved to another project are charged as they were metered; corrections
        take that back and charge the other project, also where the filters name only one of the two.

        Parameters
        ----------
        connection
            A read transaction, held until the last charge was taken.
        start, end
            Aware UTC, half-open.
        filters
            Value, or frozen set of values, by ``user``, ``project``, ``cost_centre``, ``environment_template``, ``gpu_type`` or ``allocation``.

        Yields
        ------
        Charge
            Those of sessions by cost centre, project, person, start and id of the interval, then by start and SKU; behind them the corrections, by
            session, interval and move; behind them those of storage by cost centre, project, person and start.
        """
        cards = self._cards()
        has_idle = any(card.idle_gpu_hour for card in cards)
        has_tiers = any(card.tier_discount_percent for card in cards)
        named = filters or {}
        for use in self._uses.stream(connection, start, end, named, has_idle=has_idle, has_tiers=has_tiers):
            interval, until = _clipped(use, start, end)
            yield from charges(interval, cards, until, tier=use.tier, idle=use.idle)
        yield from self._corrections(connection, start, end, named)
        if any(card.storage_gib_month for card in cards):
            for sample in storage_samples(connection, start, end, named):
                yield from storage_charges(sample, cards, start, end)

    def sums(  # noqa: PLR0913 - what they are of, by name
        self, connection: Connection, start: datetime, end: datetime, *, columns: Collection[str], by_day: bool, filters: Mapping[str, Any]
    ) -> Iterator[Charged]:
        """Yield what of ``[start, end)`` is charged, added up by the database: exactly the sum of :meth:`charges`.

        Only sessions that were moved are read one by one. Memory grows with the groups, not with what was used.

        Parameters
        ----------
        columns
            What is kept apart, among ``user``, ``project``, ``cost_centre`` and ``environment_template``, and more where prices depend on it.
        by_day
            Whether UTC days are kept apart, too.
        filters
            As for :meth:`charges`.
        """
        cards = self._cards()
        if end - start > LONG:
            start, end = self._within_use(connection, start, end)
        for low, high in split(start, end, (*boundaries(cards, start, end), *(midnights(start, end) if by_day else months(start, end)))):
            card = card_at(cards, low)
            asked = (*columns, "project") if card.project_discount_percent and "project" not in columns else columns
            day = low.replace(hour=0, minute=0, second=0, microsecond=0)
            query = TimeQuery(
                low,
                high,
                asked,
                filters,
                off_peak=spans(card.off_peak, low, high) if card.off_peak else (),
                has_idle=bool(card.idle_gpu_hour),
                has_tiers=bool(card.tier_discount_percent),
                has_hardware=bool(card.cpu_core_hour or card.memory_gib_hour),
            )
            for group in self._times.groups(connection, query):
                yield from time_sums(group, card, day)
            if card.storage_gib_month:
                for time in storage_times(connection, low, high, asked, filters):
                    yield storage_sum(time, card, day)
        yield from self._corrections(connection, start, end, filters)

    def _within_use(self, connection: Connection, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Return what of a span has any use, from a midnight on: a question about all of time has as many pieces as the ledger has days."""
        known = [each for each in (self._times.reach(connection), storage_reach(connection)) if each is not None]
        if not known:
            return start, start
        first = min(low for low, _ in known).replace(hour=0, minute=0, second=0, microsecond=0)
        return max(start, first), min(end, max(high for _, high in known))

    def _corrections(self, connection: Connection, start: datetime, end: datetime, filters: Mapping[str, Any]) -> Iterator[Charge]:
        cards = self._cards()
        has_idle, has_tiers = any(card.idle_gpu_hour for card in cards), any(card.tier_discount_percent for card in cards)
        for use in self._uses.moved(connection, start, end, filters, has_idle=has_idle, has_tiers=has_tiers):
            interval, until = _clipped(use, start, end)
            found = corrections(interval, use.moves, cards, until, tier=use.tier, idle=use.idle)
            yield from (charge for charge in found if _is_asked_for(charge, filters))


def _clipped(use: ChargedUse, start: datetime, end: datetime) -> tuple[UsageInterval, datetime]:
    """Return an interval from where the span begins, and until when it counts."""
    interval = use.interval
    until = end if interval.ended_at is not None else min(end, interval.last_seen_at or interval.started_at)
    return replace(interval, started_at=max(interval.started_at, start)), until


def _is_asked_for(charge: Charge, filters: Mapping[str, Any]) -> bool:
    asked = {name: filters[name] for name in ACCOUNTS if name in filters}
    return all(getattr(charge, name) in (value if isinstance(value, frozenset) else {value}) for name, value in asked.items())
