"""What energy GPUs took, and the carbon behind it, in words."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.domain.rounding import rounded
from aiplatform_hub.domain.units import format_number
from aiplatform_hub.web.view_models.formats import duration

_AS_GOOD_AS_ALL = 0.98
"""Part of a session's time from which on it is not said how much of it was measured: nobody looks at its first and last moments."""
_GRAMS_PER_KG = 1000


def energy_line(found: Energy | None, ran: timedelta, gpus: int) -> str:
    """Return what energy a session's GPUs took, and the carbon behind it; empty where nobody measured it.

    Parameters
    ----------
    ran
        From its start until its end, or now.
    """
    if found is None:
        return ""
    part = "" if found.known >= ran * gpus * _AS_GOOD_AS_ALL else f" Measured for {duration(found.known / gpus)} of {duration(ran)}."
    return f"{'Its GPU' if gpus == 1 else 'Its GPUs'} took {_amounts(found)}.{part}"


def energy_total(found: Energy | None) -> str:
    """Return what the GPUs of a span took, as far as it is known; empty where nobody measured it."""
    return "" if found is None else f"They took {_amounts(found)}, as far as it was measured."


def _amounts(found: Energy) -> str:
    return _kwh(found.kwh) if found.carbon_grams is None else f"{_kwh(found.kwh)}, {_grams(found.carbon_grams)} of CO2"


def _kwh(kwh: Fraction) -> str:
    return f"{format_number(rounded(kwh, 2))} kWh" if kwh >= 1 else f"{format_number(rounded(kwh * 1000, 1))} Wh"


def _grams(grams: Fraction) -> str:
    return f"{format_number(rounded(grams / 1000, 2))} kg" if grams >= _GRAMS_PER_KG else f"{format_number(rounded(grams, 0))} g"
