"""How values travel: the types of the bodies' fields, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

from aiplatform_hub.domain.units import isoformat

Instant = Annotated[
    datetime,
    PlainSerializer(isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "UTC, `YYYY-MM-DDTHH:MM:SS.ffffffZ`"}),
]
Money = Annotated[
    Decimal,
    PlainSerializer(lambda amount: format(amount, "f"), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "description": "A decimal number"}),
]


class Output(BaseModel):
    """A body that the service sends."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Input(BaseModel):
    """A body that a caller sends: exact JSON types, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: instants in UTC, decimals as strings, dataclasses as objects."""
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    return value


_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (BaseModel, lambda value: value.model_dump(mode="json", by_alias=True)),
    (datetime, isoformat),
    (Decimal, lambda value: format(value, "f")),
    (Enum, lambda value: value.value),
    (UUID, str),
)


def dumps(value: Any) -> str:
    """Return a value as JSON text. It is ASCII, so that even half a character that a caller sent can be sent back."""
    return json.dumps(plain(value), separators=(",", ":"))
