"""What an hour of a session would cost somebody now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import HourlyLine, hourly_lines
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.requests import Caller, LaunchRequest


@dataclass(frozen=True, slots=True)
class HourlyPrice:
    """What one hour costs, SKU by SKU, and by which card."""

    card: RateCard
    lines: tuple[HourlyLine, ...]

    @property
    def per_hour(self) -> Decimal:
        """All of it, in the card's currency."""
        return sum((line.per_hour for line in self.lines), Decimal(0))


class SessionPrices:
    """Prices sessions that nobody has started yet. May ask the database.

    Parameters
    ----------
    tier_of
        Gives the name of a person's tier; asked only where a card has a discount for tiers.
    """

    def __init__(self, *, cards: Callable[[], Sequence[RateCard]], tier_of: Callable[[Caller], str], clock: Callable[[], datetime]) -> None:
        self._cards = cards
        self._tier_of = tier_of
        self._clock = clock

    def of_each(self, caller: Caller, requests: Sequence[LaunchRequest]) -> tuple[HourlyPrice, ...]:
        """Return what each of some requests would cost a person for an hour, if it ran now."""
        now = self._clock()
        card = card_at(self._cards(), now)
        tier = self._tier_of(caller) if card.tier_discount_percent else None
        return tuple(HourlyPrice(card, lines_of(request, card, tier, now)) for request in requests)

    def of(self, caller: Caller, request: LaunchRequest) -> HourlyPrice:
        """Return what a request would cost a person for an hour, if it ran now."""
        return self.of_each(caller, (request,))[0]


def lines_of(request: LaunchRequest, card: RateCard, tier: str | None, instant: datetime) -> tuple[HourlyLine, ...]:
    """Return what an hour of a request costs by a card at an instant, SKU by SKU."""
    return hourly_lines(
        gpus=request.gpus,
        gpu_type=request.gpu_type if request.gpus else None,
        cpu_cores=request.cpu_cores,
        memory_bytes=request.memory_bytes,
        project=request.project,
        tier=tier,
        card=card,
        instant=instant,
    )
