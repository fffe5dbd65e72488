"""What sessions as people start them would cost under a card: for whoever decides on it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.catalog import SIMULATED_GPU_TYPE, Catalog, EnvironmentTemplate, RateCard
from aiplatform_hub.domain.charges import hourly_price
from aiplatform_hub.domain.off_peak import spans
from aiplatform_hub.domain.units import GIB

_LOOK_AHEAD = timedelta(days=8)


@dataclass(frozen=True, slots=True)
class SamplePrice:
    """An hour of an environment template with its usual amounts, without a discount of tier or project."""

    environment_template: str
    gpus: int
    gpu_type: str | None
    cpu_cores: int
    memory_gib: int
    per_hour: Decimal
    off_peak_per_hour: Decimal | None
    """None where the card has no off-peak hours."""


def sample_prices(card: RateCard, catalog: Catalog, gpu_types: Sequence[str]) -> tuple[SamplePrice, ...]:
    """Return what each environment template costs with its usual amounts, on the first of its GPU types that there is.

    Parameters
    ----------
    gpu_types
        Types that the place has, in order; where it has none that a template takes, the first named one counts.
    """
    usual, reduced = _instants(card)
    return tuple(_sample(card, template, _type_of(template, card, gpu_types), usual, reduced) for template in catalog.environment_templates.values())


def _sample(card: RateCard, template: EnvironmentTemplate, gpu_type: str | None, usual: datetime, reduced: datetime | None) -> SamplePrice:
    gpus, cores, memory_gib = template.gpus.default, template.cpu_cores.default, template.memory_gib.default

    def at(instant: datetime) -> Decimal:
        memory_bytes = memory_gib * GIB
        return hourly_price(gpus=gpus, gpu_type=gpu_type, cpu_cores=cores, memory_bytes=memory_bytes, project="", tier=None, card=card, instant=instant)

    return SamplePrice(template.name, gpus, gpu_type if gpus else None, cores, memory_gib, at(usual), at(reduced) if reduced else None)


def _type_of(template: EnvironmentTemplate, card: RateCard, gpu_types: Sequence[str]) -> str | None:
    if not template.gpus.default:
        return None
    here = [name for name in gpu_types if not template.gpu_types or name in template.gpu_types]
    priced = [name for name in card.gpu_hour if name not in {"*", SIMULATED_GPU_TYPE}]
    return next(iter((*here, *template.gpu_types, *priced)), SIMULATED_GPU_TYPE)


def _instants(card: RateCard) -> tuple[datetime, datetime | None]:
    """Return an instant under the card that is not off-peak, and one that is; the first is off-peak too where everything is."""
    start = card.effective_from.astimezone(UTC)
    if card.off_peak is None:
        return start, None
    found = spans(card.off_peak, start, start + _LOOK_AHEAD)
    if not found:
        return start, None
    return next(_outside(found, start, start + _LOOK_AHEAD), start), found[0][0]


def _outside(found: Sequence[tuple[datetime, datetime]], start: datetime, end: datetime) -> Iterator[datetime]:
    if start < found[0][0]:
        yield start
    yield from (high for _, high in found if high < end)
