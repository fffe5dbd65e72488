"""Bodies about the energy of sessions."""

from __future__ import annotations

from pydantic import Field

from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.services.platform.wire import Money, Output

PLACES = 6
"""Decimal places of measured quantities."""


class EnergyOut(Output):
    """What the GPUs of a session took, as far as it was measured; shown, not billed."""

    kwh: Money
    known_gpu_seconds: float = Field(description="GPUs × time for which it is known")
    carbon_grams: Money | None = Field(description="CO2 equivalents, by the factors of the catalogue; null where a day of it has none")


def energy_out(found: Energy) -> EnergyOut:
    """Return energy as it is sent."""
    grams = None if found.carbon_grams is None else rounded(found.carbon_grams, PLACES)
    return EnergyOut(kwh=rounded(found.kwh, PLACES), known_gpu_seconds=found.known.total_seconds(), carbon_grams=grams)
