"""A refusal as pages show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiplatform_hub.errors import AIPlatformError


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal for a page: the sentence, its reasons and what to do."""

    title: str
    detail: str
    lines: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    """Sentence by the field it is about."""


def problem_of(error: AIPlatformError) -> Problem:
    """Return a refusal as a page shows it."""
    return Problem(
        title=error.title,
        detail=error.message,
        lines=tuple(dict.fromkeys(r.message for r in error.reasons if r.message and r.message != error.message and r.message not in error.message)),
        remedies=tuple(dict.fromkeys(remedy for r in error.reasons for remedy in r.remedies)),
        fields={r.field: r.message for r in error.reasons if r.field},
    )
