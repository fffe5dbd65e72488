"""Time of many sessions, charged at once: what is charged is linear in time, so that the price of a sum is the sum of the prices. Pure and exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charge_sums import NOBODY, ChargeSum
from aiplatform_hub.domain.charges import SESSION_SKUS, Pricing, Units, has_idle_price, period_microseconds, priced


@dataclass(frozen=True, slots=True)
class SessionTime:
    """What some sessions had × how long they had it, in whole microseconds."""

    gpus: int = 0
    sessions: int = 0
    """Their time."""
    estimated: int = 0
    """The part of it in intervals whose end nobody saw."""
    cpu_cores: int = 0
    memory_gib: int = 0

    def __sub__(self, part: SessionTime) -> SessionTime:
        """Return the rest."""
        return SessionTime(
            self.gpus - part.gpus,
            self.sessions - part.sessions,
            self.estimated - part.estimated,
            self.cpu_cores - part.cpu_cores,
            self.memory_gib - part.memory_gib,
        )


NO_TIME = SessionTime()


@dataclass(frozen=True, slots=True)
class HourlyTime:
    """Time at all hours, and the part of it that was off-peak."""

    whole: SessionTime = NO_TIME
    off_peak: SessionTime = NO_TIME

    def __sub__(self, part: HourlyTime) -> HourlyTime:
        """Return the rest."""
        return HourlyTime(self.whole - part.whole, self.off_peak - part.off_peak)


NO_HOURS = HourlyTime()


@dataclass(frozen=True, slots=True)
class TimeGroup:
    """Sessions whose prices depend on the same, inside one span of one card."""

    has_gpus: bool
    gpu_type: str | None
    is_free: bool
    """Whether their starts failed."""
    time: HourlyTime
    idle: HourlyTime = NO_HOURS
    """The part of the time in which all GPUs of a session were idle."""
    tier: str | None = None
    cost_centre: str = NOBODY
    project: str = NOBODY
    user_name: str = NOBODY
    environment_template: str = NOBODY


def time_sums(group: TimeGroup, card: RateCard, start: datetime) -> Iterator[ChargeSum]:
    """Yield what the time of a group costs: exactly what the charges of its sessions add up to.

    Parameters
    ----------
    card
        In force throughout.
    start
        UTC midnight at which the day of the sums begins.

    Raises
    ------
    ConfigurationError
        If the card prices neither the GPU type nor every other type.
    """
    idle = group.idle if group.has_gpus and has_idle_price(card, group.gpu_type) else NO_HOURS
    for is_idle, part in ((False, group.time - idle), (True, idle)):
        for is_off_peak, time in ((False, part.whole - part.off_peak), (True, part.off_peak)):
            if time.sessions:
                pricing = Pricing(group.gpu_type, group.project, group.tier, is_off_peak=is_off_peak, is_idle=is_idle, is_free=group.is_free)
                yield from _sums(group, time, card, pricing, start)


def _sums(group: TimeGroup, time: SessionTime, card: RateCard, pricing: Pricing, start: datetime) -> Iterator[ChargeSum]:
    for line in priced(card, Units(time.gpus, time.sessions, time.cpu_cores, time.memory_gib), pricing):
        is_session = line.sku in SESSION_SKUS
        yield ChargeSum(
            start=start,
            cost_centre=group.cost_centre,
            project=group.project,
            user_name=group.user_name,
            environment_template=group.environment_template,
            gpu_type=group.gpu_type,
            sku=line.sku,
            list_price=line.list_price,
            price=line.price,
            currency=card.currency,
            rate_card=card.version,
            period_microseconds=period_microseconds(line.sku, start),
            unit_microseconds=line.units,
            session_microseconds=time.sessions if is_session else 0,
            estimated_microseconds=time.estimated if is_session else 0,
        )
