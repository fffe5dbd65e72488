"""Options of the built-in notifiers, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from aiplatform_hub.errors import ConfigurationError


class Options(BaseModel):
    """Strict: an unknown option is a misspelt one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Model = TypeVar("Model", bound=Options)


def checked(model: type[Model], name: str, options: Mapping[str, Any]) -> Model:
    """Return options as values.

    Raises
    ------
    ConfigurationError
        Naming the first option that is wrong, and what would be right.
    """
    try:
        return model(**options)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]) if first["loc"] else ""
        raise ConfigurationError(_sentence(model, name, option, first["type"], first["msg"])) from None  # its text would hold the values


def _sentence(model: type[Options], name: str, option: str, kind: str, message: str) -> str:
    place = f"c.AIPlatform.notifiers[{name!r}]"
    if kind == "extra_forbidden":
        known = ", ".join(field.alias or key for key, field in model.model_fields.items())
        return f"{place} has no option {option!r}; it has {known}, and secret_file."
    if kind == "missing":
        return f"{place} lacks the option {option!r}."
    return f"{place}[{option!r}] is not right: {message.removeprefix('Value error, ')}." if option else f"{place} is not right: {message}."
