"""The shape of the catalogue's entries about who pays whom."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field

from aiplatform_hub.catalog.models import _DECIMAL, Text, _Entry
from aiplatform_hub.domain.catalog import CostCentre, LegalEntity

MOST_PERCENT = 100
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Address = Annotated[list[Text], Field(max_length=6)]
"""At most what fits a window envelope."""


def _percent(value: object) -> Decimal | None:
    if value is None:
        return None
    if type(value) is not str or not _DECIMAL.fullmatch(value) or Decimal(value) > MOST_PERCENT:
        raise ValueError('write a tax as a quoted decimal from 0 to 100, for example "19", or leave it out where none is charged')
    return Decimal(value)


class CostCentreModel(_Entry):
    """An entry of ``cost_centres.yaml``."""

    display_name: Text
    legal_entity: Text | None = None
    code: Text | None = None
    address: Address = Field(default_factory=list)
    country: Country | None = None
    tax_id: Text | None = None

    def to_domain(self, name: str) -> CostCentre:
        """Return the domain's cost centre."""
        return CostCentre(
            name=name,
            display_name=self.display_name,
            legal_entity=self.legal_entity,
            code=self.code or "",
            address=tuple(self.address),
            country=self.country or "",
            tax_id=self.tax_id or "",
        )


class LegalEntityModel(_Entry):
    """An entry of ``legal_entities.yaml``."""

    display_name: Text
    address: Annotated[Address, Field(min_length=1)]
    country: Country
    number_prefix: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{0,15}$")]
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3}|credits)$")]
    tax_id: Text | None = None
    tax_percent: Annotated[Decimal | None, BeforeValidator(_percent)] = None
    payment_days: Annotated[int, Field(ge=0, le=365)] = 30
    payment_account: Text | None = None
    accounting_url: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")] | None = None

    def to_domain(self, name: str) -> LegalEntity:
        """Return the domain's legal entity."""
        return LegalEntity(
            name=name,
            display_name=self.display_name,
            address=tuple(self.address),
            country=self.country,
            number_prefix=self.number_prefix,
            currency=self.currency,
            tax_id=self.tax_id or "",
            tax_percent=self.tax_percent,
            payment_days=self.payment_days,
            payment_account=self.payment_account or "",
            accounting_url=self.accounting_url or "",
        )
