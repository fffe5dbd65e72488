"""The shape of the catalogue's entries about who pays whom."""

from __future__ import annotations

import re
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from aiplatform_hub.catalog.models import _DECIMAL, Text, _Entry
from aiplatform_hub.domain.catalog import CostCentre, LegalEntity

MOST_PERCENT = 100
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Address = Annotated[list[Text], Field(max_length=6)]
"""At most what fits a window envelope."""
Email = Annotated[str, Field(pattern=r"^[^\s@]{1,64}@[^\s@]{1,189}$")]
MOST_LOGO_BYTES = 32 * 1024
"""Each invoice keeps the logo that it was drafted with."""
MOST_LOGO_PIXELS = 4_000_000
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")
_VAT_ID = re.compile(r"[A-Z]{2}[A-Z0-9+*]{2,13}")
_VAT_COUNTRY = {"GR": "EL"}
"""Countries whose numbers for value added tax begin with other letters."""


def _percent(value: object) -> Decimal | None:
    if value is None:
        return None
    if type(value) is not str or not _DECIMAL.fullmatch(value) or Decimal(value) > MOST_PERCENT:
        raise ValueError('write a tax as a quoted decimal from 0 to 100, for example "19", or leave it out where none is charged')
    return Decimal(value)


def _iban(value: str) -> str:
    plain = value.replace(" ", "")
    if not _IBAN.fullmatch(plain) or int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 != 1:
        raise ValueError("is not an IBAN: a letter or digit is wrong, missing or swapped")
    return plain


def _logo(value: Any, info: ValidationInfo) -> bytes | None:
    """Return what is in a file beside the catalogue's; it must be what every format of an invoice can show."""
    if value is None:
        return None
    folder = None if info.context is None else info.context.get("folder")
    if type(value) is not str or Path(value).name != value or folder is None:
        raise ValueError("write the name of a PNG or JPEG file in the same folder, for example logo.png")
    try:
        content = Path(folder, value).read_bytes()
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {error.strerror or error}") from error
    if len(content) > MOST_LOGO_BYTES:
        raise ValueError(f"{value} has {len(content)} bytes; at most {MOST_LOGO_BYTES} fit, for example 600 × 200 pixels in few colours")
    if not _is_picture(content):
        raise ValueError(f"{value} is no PNG or JPEG that can be read, with at most {MOST_LOGO_PIXELS} pixels")
    return content


def _is_picture(content: bytes) -> bool:
    from PIL import Image  # noqa: PLC0415 - most installations have no logo

    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MOST_LOGO_PIXELS:
                return False
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True


class CostCentreModel(_Entry):
    """An entry of ``cost_centres.yaml``."""

    display_name: Text
    legal_entity: Text | None = None
    code: Text | None = None
    address: Address = Field(default_factory=list)
    country: Country | None = None
    tax_id: Text | None = None
    email: Email | None = None

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
            email=self.email or "",
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
    iban: Annotated[Text, AfterValidator(_iban)] | None = None
    bic: Annotated[str, Field(pattern=r"^[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?$")] | None = None
    registration_id: Text | None = None
    email: Email | None = None
    logo: Annotated[bytes | None, BeforeValidator(_logo)] = None
    accounting_url: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")] | None = None

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        """Check what single keys cannot know."""
        if self.bic is not None and self.iban is None:
            raise ValueError("bic: is there without iban; write both, or put the account into payment_account")
        looks_like_vat = self.tax_id is not None and _VAT_ID.fullmatch(self.tax_id.replace(" ", ""))
        if looks_like_vat and self.tax_id and self.tax_id[:2] != _VAT_COUNTRY.get(self.country, self.country):
            raise ValueError(f"tax_id: begins with {self.tax_id[:2]}, but country is {self.country}; a number for value added tax begins with its country")
        return self

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
            iban=self.iban or "",
            bic=self.bic or "",
            registration_id=self.registration_id or "",
            email=self.email or "",
            logo=self.logo or b"",
            accounting_url=self.accounting_url or "",
        )
