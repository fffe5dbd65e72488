"""How a person stands against their limits, and what the place has: read beside what else a page reads, in the same look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.limits import LimitUsage, usage_against
from aiplatform_hub.domain.quota import tier_of
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.supply import GpuTypeCapacity, count_gpus
from aiplatform_hub.operations.decision_reader import DecisionReader
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.devices import Pool


@dataclass(frozen=True, slots=True)
class OwnStanding:
    """A person's tier and limits."""

    tier: str
    """Its name."""
    limits: tuple[LimitUsage, ...]
    has_budgets: bool
    """Whether the place has any budget that counts, whoever's."""


class StandingReader:
    """Answers in the transaction of whoever asks, of allocations that were read in it."""

    def __init__(self, *, reader: DecisionReader) -> None:
        self._reader = reader

    def of(self, connection: Connection, caller: Caller, opened: Sequence[Allocation], now: datetime) -> OwnStanding:
        """Return a person's tier, and each of their limits with what is used of it.

        Parameters
        ----------
        opened
            Every open allocation.
        """
        facts = self._reader.facts(connection, caller, None, now)
        limits = usage_against(self._reader.limits(caller, None, facts), caller, opened, self._reader.observed(caller, None, facts))
        return OwnStanding(tier_of(caller, self._reader.catalog, facts.granted_tier).name, limits, facts.has_budgets)

    def capacity(self, pool: Pool | None, opened: Sequence[Allocation]) -> tuple[GpuTypeCapacity, ...]:
        """Return the GPUs of the machine or cluster by type, with what every open allocation holds of them; none before they were registered."""
        held = {device for allocation in opened for device in allocation.devices}
        return count_gpus(pool.devices if pool else (), held, self._reader.catalog.node_pools)
