"""The shape of a rate card in YAML. Unknown keys and inexact types are errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import time
from decimal import Decimal
from functools import cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from aiplatform_hub.catalog.documents import KeyPath
from aiplatform_hub.catalog.models import Instant
from aiplatform_hub.catalog.problems import repeated, unknown
from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, RateCard, Share, Unallocated
from aiplatform_hub.domain.currencies import CODES, CREDITS, is_currency
from aiplatform_hub.domain.off_peak import OffPeak, Window

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""What a card calls the days on which a window begins; the first is day 1 of ISO 8601."""

_PRICE = re.compile(r"\d{1,9}(\.\d{1,6})?")
_PERCENT = re.compile(r"\d{1,3}(\.\d{1,4})?")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


def _price(value: object) -> Decimal:
    if type(value) is str and _PRICE.fullmatch(value):
        return Decimal(value)
    negative = f"{repeated(value)} is negative; " if type(value) is str and value.startswith("-") else ""
    raise ValueError(f'{negative}write a price as a quoted decimal with at most 6 places, for example "2.50", so that nothing is rounded')


def _percent(value: object) -> Decimal:
    percent = Decimal(value) if type(value) is str and _PERCENT.fullmatch(value) else None
    if percent is None or percent > 100:  # noqa: PLR2004  all of it
        raise ValueError('write a discount as quoted per cent from 0 to 100 with at most 4 places, for example "12.5"')
    return percent


def _local_time(value: object) -> time:
    if type(value) is str and _TIME.fullmatch(value):
        return time.fromisoformat(value)
    raise ValueError('write a local time as quoted hours and minutes from "00:00" to "23:59"')


def _currency(code: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}|credits", code):
        raise ValueError(f"{repeated(code)} is no currency; it must be three capital letters (EUR), or {CREDITS}")
    if not is_currency(code):
        raise ValueError(f"{unknown('currency', code, CODES)}; use a code of ISO 4217 (EUR), or {CREDITS}")
    return code


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(name: str) -> str:
    if name not in _zones():
        raise ValueError(f"{unknown('time zone', name, _zones())}; write a name of the IANA database, for example Europe/Berlin")
    return name


def _weekday(name: str) -> str:
    if name not in WEEKDAYS:
        raise ValueError(unknown("weekday", name, WEEKDAYS))
    return name


def _share(name: object) -> Share:
    if not isinstance(name, str) or name not in tuple(Share):
        raise ValueError(unknown("way to share", str(name), tuple(Share)))
    return Share(name)


Price = Annotated[Decimal, BeforeValidator(_price)]
Percent = Annotated[Decimal, BeforeValidator(_percent)]
LocalTime = Annotated[time, BeforeValidator(_local_time)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class WindowModel(_Entry):
    """From one local time to another; an end that is not later is on the next day."""

    weekdays: Annotated[list[Annotated[str, AfterValidator(_weekday)]], Field(min_length=1)] = list(WEEKDAYS)
    start: LocalTime
    end: LocalTime

    def to_domain(self) -> Window:
        """Return the domain's window."""
        return Window(frozenset(WEEKDAYS.index(name) + 1 for name in self.weekdays), self.start, self.end)


class OffPeakModel(_Entry):
    """When everything that a card prices by the hour costs less."""

    time_zone: Annotated[str, AfterValidator(_zone)]
    discount_percent: Percent
    windows: Annotated[list[WindowModel], Field(min_length=1, max_length=50)]

    def to_domain(self) -> OffPeak:
        """Return the domain's windows."""
        return OffPeak(self.time_zone, self.discount_percent, tuple(window.to_domain() for window in self.windows))


class UnallocatedModel(_Entry):
    """Who pays for usable GPUs that no session held, and how much."""

    share: Annotated[Share, BeforeValidator(_share)]
    gpu_hour: dict[str, Price] = {}
    cost_centres: list[str] = []

    def to_domain(self) -> Unallocated:
        """Return the domain's rule."""
        return Unallocated(self.share, dict(self.gpu_hour), tuple(dict.fromkeys(self.cost_centres)))


class RateCardModel(_Entry):
    """An entry of ``rates.yaml``."""

    effective_from: Instant
    currency: Annotated[str, AfterValidator(_currency)]
    gpu_hour: dict[str, Price]
    cpu_only_hour: Price
    cpu_core_hour: Price = Decimal(0)
    memory_gib_hour: Price = Decimal(0)
    storage_gib_month: Price = Decimal(0)
    idle_gpu_hour: dict[str, Price] = {}
    off_peak: OffPeakModel | None = None
    tier_discount_percent: dict[str, Percent] = {}
    project_discount_percent: dict[str, Percent] = {}
    unallocated: UnallocatedModel | None = None

    def to_domain(self, name: str) -> RateCard:
        """Return the domain's rate card."""
        return RateCard(
            version=name,
            effective_from=self.effective_from,
            currency=self.currency,
            gpu_hour=dict(self.gpu_hour),
            cpu_only_hour=self.cpu_only_hour,
            cpu_core_hour=self.cpu_core_hour,
            memory_gib_hour=self.memory_gib_hour,
            storage_gib_month=self.storage_gib_month,
            idle_gpu_hour=dict(self.idle_gpu_hour),
            off_peak=self.off_peak.to_domain() if self.off_peak else None,
            tier_discount_percent=dict(self.tier_discount_percent),
            project_discount_percent=dict(self.project_discount_percent),
            unallocated=self.unallocated.to_domain() if self.unallocated else Unallocated(),
        )


def faults_of_names(
    model: RateCardModel,
    gpu_types: Mapping[str, object],
    tiers: Mapping[str, object],
    projects: Mapping[str, object],
    cost_centres: Mapping[str, object],
) -> Iterator[tuple[KeyPath, str]]:
    """Yield what a card names that does not exist, and GPU types that it does not price: where it stands, and what is wrong."""
    known: tuple[tuple[str, str, Mapping[str, object], frozenset[str]], ...] = (
        ("gpu_hour", "GPU type", gpu_types, frozenset({ANY_GPU_TYPE})),
        ("idle_gpu_hour", "GPU type", gpu_types, frozenset({ANY_GPU_TYPE})),
        ("tier_discount_percent", "tier", tiers, frozenset()),
        ("project_discount_percent", "project", projects, frozenset()),
    )
    for key, what, names, others in known:
        for name in getattr(model, key):
            if name not in names and name not in others:
                yield (key, name), unknown(what, name, names)
    yield from _faults_of_unallocated(model.unallocated, gpu_types, cost_centres)
    unpriced = [name for name in gpu_types if name not in model.gpu_hour]
    if unpriced and ANY_GPU_TYPE not in model.gpu_hour:
        yield ("gpu_hour",), f'no price for {", ".join(unpriced)}; add them, or "*" for every other type'


def _faults_of_unallocated(
    model: UnallocatedModel | None, gpu_types: Mapping[str, object], cost_centres: Mapping[str, object]
) -> Iterator[tuple[KeyPath, str]]:
    if model is None:
        return
    for name in model.gpu_hour:
        if name not in gpu_types and name != ANY_GPU_TYPE:
            yield ("unallocated", "gpu_hour", name), unknown("GPU type", name, gpu_types)
    for position, name in enumerate(model.cost_centres):
        if name not in cost_centres:
            yield ("unallocated", "cost_centres", position), unknown("cost centre", name, cost_centres)
    if model.cost_centres and model.share is not Share.EVENLY:
        yield ("unallocated", "cost_centres"), f"cost_centres says who shares evenly, and share is {model.share.value}; leave it out"
