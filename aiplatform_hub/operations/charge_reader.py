"""What was used, as charges: read from the ledger, priced by the cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import Charge, charges
from aiplatform_hub.domain.storage_samples import storage_charges
from aiplatform_hub.storage.charged_use import ChargedUse, ChargedUseStore
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.storage_samples import stream as storage_samples


class ChargeReader:
    """Reads charges. The same ledger and the same cards give the same charges, in any process and at any time."""

    def __init__(self, *, uses: ChargedUseStore, cards: Callable[[], tuple[RateCard, ...]]) -> None:
        self._uses = uses
        self._cards = cards

    def charges(self, connection: Connection, start: datetime, end: datetime, *, filters: Mapping[str, Any] | None = None) -> Iterator[Charge]:
        """Stream what of ``[start, end)`` is charged; memory does not grow with the span.

        Open intervals count up to their last proof of life.

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
            Those of sessions by cost centre, project, person, start and id of the interval, then by start and SKU; behind them those of
            storage by cost centre, project, person and start.
        """
        cards = self._cards()
        has_idle = any(card.idle_gpu_hour for card in cards)
        has_tiers = any(card.tier_discount_percent for card in cards)
        for use in self._uses.stream(connection, start, end, filters or {}, has_idle=has_idle, has_tiers=has_tiers):
            yield from _charges(use, cards, start, end)
        if any(card.storage_gib_month for card in cards):
            for sample in storage_samples(connection, start, end, filters or {}):
                yield from storage_charges(sample, cards, start, end)


def _charges(use: ChargedUse, cards: tuple[RateCard, ...], start: datetime, end: datetime) -> Iterator[Charge]:
    interval = use.interval
    until = end if interval.ended_at is not None else min(end, interval.last_seen_at or interval.started_at)
    clipped = replace(interval, started_at=max(interval.started_at, start))
    yield from charges(clipped, cards, until, tier=use.tier, idle=use.idle)
