"""What was used, as charges: read from the ledger, priced by the cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import Charge, charges
from aiplatform_hub.domain.session_moves import corrections
from aiplatform_hub.domain.storage_samples import storage_charges
from aiplatform_hub.domain.usage import UsageInterval
from aiplatform_hub.storage.charged_use import ACCOUNTS, ChargedUse, ChargedUseStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.storage_samples import stream as storage_samples


class ChargeReader:
    """Reads charges. The same ledger and the same cards give the same charges, in any process and at any time."""

    def __init__(self, *, uses: ChargedUseStore, cards: Callable[[], tuple[RateCard, ...]]) -> None:
        self._uses = uses
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
        for use in self._uses.moved(connection, start, end, named, has_idle=has_idle, has_tiers=has_tiers):
            interval, until = _clipped(use, start, end)
            found = corrections(interval, use.moves, cards, until, tier=use.tier, idle=use.idle)
            yield from (charge for charge in found if _is_asked_for(charge, named))
        if any(card.storage_gib_month for card in cards):
            for sample in storage_samples(connection, start, end, named):
                yield from storage_charges(sample, cards, start, end)


def _clipped(use: ChargedUse, start: datetime, end: datetime) -> tuple[UsageInterval, datetime]:
    """Return an interval from where the span begins, and until when it counts."""
    interval = use.interval
    until = end if interval.ended_at is not None else min(end, interval.last_seen_at or interval.started_at)
    return replace(interval, started_at=max(interval.started_at, start)), until


def _is_asked_for(charge: Charge, filters: Mapping[str, Any]) -> bool:
    asked = {name: filters[name] for name in ACCOUNTS if name in filters}
    return all(getattr(charge, name) in (value if isinstance(value, frozenset) else {value}) for name, value in asked.items())
