"""Bodies about rate cards."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Any

from pydantic import Field, PlainSerializer, WithJsonSchema

from aiplatform_hub.catalog.rate_card_model import WEEKDAYS
from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.off_peak import OffPeak
from aiplatform_hub.domain.rate_cards import CardInForce
from aiplatform_hub.domain.sample_prices import SamplePrice
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output

LocalTime = Annotated[time, PlainSerializer(lambda value: f"{value:%H:%M}", return_type=str), WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d$"})]


class WindowOut(Output):
    """From one local time to another."""

    weekdays: tuple[str, ...] = Field(description=f"On which it begins: {', '.join(WEEKDAYS)}")
    start: LocalTime
    end: LocalTime = Field(description="Exclusive; on the next day where it is not later than `start`")


class OffPeakOut(Output):
    """When everything that is priced by the hour costs less."""

    time_zone: str = Field(description="Name of the IANA database")
    discount_percent: Money
    windows: tuple[WindowOut, ...]


class SampleOut(Output):
    """What an hour of an environment template costs with its usual amounts, without a discount of tier or project."""

    environment_template: str
    gpus: int
    gpu_type: str | None
    cpu_cores: int
    memory_gib: int
    per_hour: Money
    off_peak_per_hour: Money | None = Field(description="Null where there are no off-peak hours")


class PricesOut(Output):
    """Prices, discounts, and what sessions cost under them."""

    version: str
    effective_from: Instant
    currency: str
    gpu_hour: dict[str, Money] = Field(description="By GPU type; `*` is every other one")
    idle_gpu_hour: dict[str, Money] = Field(description="The same for idle GPUs; a type that is missing costs the same idle as used")
    cpu_only_hour: Money = Field(description="An environment without GPUs")
    cpu_core_hour: Money
    memory_gib_hour: Money
    storage_gib_month: Money
    off_peak: OffPeakOut | None
    tier_discount_percent: dict[str, Money]
    project_discount_percent: dict[str, Money]
    samples: tuple[SampleOut, ...]


class RateCardOut(PricesOut):
    """A recorded rate card."""

    effective_until: Instant | None = Field(description="Exclusive: when the next card begins; null until further notice, and for what was withdrawn")
    recorded_at: Instant
    recorded_by: str | None = Field(description="Null: it stands in the catalogue's files")
    reason: str
    withdrawn_at: Instant | None
    document: str = Field(description="The card as YAML, as `POST` and `PUT` take it")


class RateCardList(Output):
    """Rate cards."""

    items: tuple[RateCardOut, ...]


class RateCardCheckBody(Input):
    """A card to look at."""

    version: str
    document: str = Field(description="A card as YAML: an entry of `rates.yaml` without its name")


class RateCardBody(RateCardCheckBody):
    """A card to record."""

    reason: str = Field(description="Why, for whoever reads the bills later: one line")


class RateCardChangeBody(Input):
    """What takes a card's place."""

    document: str = Field(description="A card as YAML: an entry of `rates.yaml` without its name")
    reason: str = Field(description="Why, for whoever reads the bills later: one line")


def prices_out(card: RateCard, samples: tuple[SamplePrice, ...]) -> PricesOut:
    """Return a card as it is sent."""
    return PricesOut(**_values(card, samples))


def rate_card_out(each: CardInForce, document: str, samples: tuple[SamplePrice, ...]) -> RateCardOut:
    """Return a recorded card as it is sent."""
    recorded = each.recorded
    return RateCardOut(
        **_values(recorded.card, samples),
        effective_until=each.until,
        recorded_at=recorded.recorded_at,
        recorded_by=recorded.recorded_by,
        reason=recorded.reason,
        withdrawn_at=recorded.withdrawn_at,
        document=document,
    )


def _values(card: RateCard, samples: tuple[SamplePrice, ...]) -> dict[str, Any]:
    own = {name: getattr(card, name) for name in PricesOut.model_fields if name not in {"off_peak", "samples"}}
    shown = tuple(SampleOut(**{name: getattr(sample, name) for name in SampleOut.model_fields}) for sample in samples)
    return {**own, "off_peak": _off_peak(card.off_peak) if card.off_peak else None, "samples": shown}


def _off_peak(off_peak: OffPeak) -> OffPeakOut:
    windows = tuple(WindowOut(weekdays=tuple(WEEKDAYS[day - 1] for day in sorted(each.weekdays)), start=each.start, end=each.end) for each in off_peak.windows)
    return OffPeakOut(time_zone=off_peak.time_zone, discount_percent=off_peak.discount_percent, windows=windows)
