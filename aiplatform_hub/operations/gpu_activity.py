"""What is known of GPUs' use, in the currency of each card's time: read from the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import NOBODY, ActivitySum
from aiplatform_hub.domain.rates import boundaries, card_at, split
from aiplatform_hub.storage.activity_sums import ACTIVITY, ActivitySums
from aiplatform_hub.storage.charge_rollup import COLUMNS
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.usage_sums import SumQuery


class GpuActivityReader:
    """Reads used and idle GPU time."""

    def __init__(self, *, activity: ActivitySums, cards: Callable[[], tuple[RateCard, ...]]) -> None:
        self._activity = activity
        self._cards = cards

    def activity(  # noqa: PLR0913 - what it is of, by name
        self, connection: Connection, start: datetime, end: datetime, *, columns: Collection[str], by_day: bool, filters: Mapping[str, Any]
    ) -> Iterator[ActivitySum]:
        """Yield the sums of ``[start, end)`` in the groups of some columns; what is not asked for is left empty."""
        cards = self._cards()
        sums: dict[tuple[datetime, str, tuple[Any, ...]], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for low, high in split(start, end, boundaries(cards, start, end)):
            currency = card_at(cards, low).currency
            for one in self._activity.sums(connection, SumQuery(low, high, tuple(columns), filters, by_day)):
                group = tuple(one.keys.get(name, None if name == "gpu_type" else NOBODY) for name in COLUMNS)
                sums[one.keys.get("day", start), currency, group][one.keys[ACTIVITY]] += one.gpu_microseconds
        for (day, currency, group), known in sums.items():
            named = dict(zip(COLUMNS, group, strict=True))
            named["user_name"] = named.pop("user")
            yield ActivitySum(
                day, **named, currency=currency, used_gpu_microseconds=known[Activity.USED.value], idle_gpu_microseconds=known[Activity.IDLE.value]
            )
