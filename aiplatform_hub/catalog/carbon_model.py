"""The shape of a carbon factor in YAML."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from aiplatform_hub.catalog.models import _Entry
from aiplatform_hub.domain.catalog import CarbonFactor

_GRAMS = re.compile(r"\d{1,5}(\.\d{1,3})?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _grams(value: object) -> Decimal:
    if type(value) is str and _GRAMS.fullmatch(value):
        return Decimal(value)
    raise ValueError('write grams as a quoted decimal with at most 3 places, for example "363"')


def _day(value: object) -> datetime:
    try:
        if type(value) is str and _DAY.fullmatch(value):
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ValueError("write a day without a time, for example 2027-01-01; a factor holds for whole days")


class CarbonFactorModel(_Entry):
    """An entry of ``carbon.yaml``."""

    effective_from: Annotated[datetime, BeforeValidator(_day)]
    grams_per_kwh: Annotated[Decimal, BeforeValidator(_grams)]

    def to_domain(self, name: str) -> CarbonFactor:
        """Return the domain's factor."""
        return CarbonFactor(name=name, effective_from=self.effective_from, grams_per_kwh=self.grams_per_kwh)
