"""Choices of a launch that a person keeps under a name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.errors import InvalidOptionError, Reason

MAX_PRESETS = 20
"""So many one person may have."""
MAX_NAME_LENGTH = 60
"""Characters of a preset's name."""
NAME_RULE = f"A saved choice has a name of 1 to {MAX_NAME_LENGTH} characters on one line."
"""What is said of a name that is none."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named choice of one person. Instants are aware UTC."""

    id: UUID
    user_id: int
    """The hub's id, which outlives a change of the person's name."""
    name: str
    options: Mapping[str, Any]
    """Launch options as they were given."""
    may_wait: bool
    """Whether it joins the queue if it does not fit now."""
    created_at: datetime
    deleted_at: datetime | None = None
    """None while it is there; a deleted one can be brought back for a while."""


def preset_name(text: str) -> str:
    """Return a preset's name without the spaces around it.

    Raises
    ------
    InvalidOptionError
        If it is empty, too long or more than one line.
    """
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise InvalidOptionError(NAME_RULE, (Reason("invalid_option", NAME_RULE, field="name"),))
    return name
