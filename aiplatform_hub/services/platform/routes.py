"""Routes as data: what tornado serves, what the OpenAPI document says, which scope is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the query or a header."""

    name: str
    description: str
    schema: Mapping[str, Any]
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Reply:
    """One possible answer."""

    description: str
    model: type[BaseModel] | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    is_object: bool = False
    """True for a JSON object without a model."""
    other_media_types: tuple[str, ...] = ()
    """Of the same answer as a file in other formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one address."""

    method: str
    path: str
    """Below ``/services/platform/``, with ``{user}`` for a parameter."""
    summary: str
    scope: str | None
    """The hub scope that the token needs for at least something; each handler checks it for the person or server at hand."""
    replies: Mapping[int, Reply]
    other_scope: str | None = None
    """Another scope that is enough instead."""
    errors: tuple[int, ...] = ()
    """Statuses of refusals besides those that every route has."""
    body: type[BaseModel] | None = None
    parameters: tuple[Parameter, ...] = ()
    description: str = ""
    is_public: bool = False
    """True when no token is needed."""
    tags: tuple[str, ...] = field(default=("platform",))


@dataclass(frozen=True, slots=True)
class Resource:
    """One address: the handler that serves it, and its routes."""

    handler: type[Any]
    routes: tuple[Route, ...]

    @property
    def path(self) -> str:
        """The address that all of its routes share."""
        return self.routes[0].path

    @property
    def pattern(self) -> str:
        """The address as tornado's pattern."""
        return re.sub(r"\{\w+\}", "([^/]+)", self.path)
