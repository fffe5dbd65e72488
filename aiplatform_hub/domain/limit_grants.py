"""Grants of an amount: one limit of a person, or of everybody in a group, raised until an instant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from aiplatform_hub.domain.catalog import Catalog, LimitAmount
from aiplatform_hub.domain.limits import USER, Limit
from aiplatform_hub.domain.requests import Caller

GRANTED = "grant by "
"""How the source of a raised limit begins."""

LimitKey = tuple[str, str | None, int | None]
"""Which limit: dimension, GPU type, and length of the window in days."""


class GrantScope(StrEnum):
    """Whose limit is raised."""

    USER = "user"
    GROUP = "group"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitGrant:
    """A raised limit. Instants are aware UTC."""

    id: UUID
    scope: GrantScope
    name: str
    """Of the person or group."""
    dimension: str
    gpu_type: str | None = None
    """For ``gpus``: the type whose limit it raises; None raises that of the total."""
    window_days: int | None = None
    """For windowed dimensions: the window whose limit it raises, in days."""
    amount: Decimal
    """The limit while it counts, in the dimension's unit; what is higher already stays."""
    expires_at: datetime
    """Exclusive."""
    reason: str
    granted_by: str
    granted_at: datetime
    revoked_at: datetime | None = None

    @property
    def key(self) -> LimitKey:
        """Which limit it raises."""
        return self.dimension, self.gpu_type, self.window_days

    def is_in_force(self, at: datetime) -> bool:
        """Return whether it counts at an instant."""
        return self.revoked_at is None and self.expires_at > at

    def is_for(self, caller: Caller) -> bool:
        """Return whether it raises a limit of this person."""
        return self.name in caller.groups if self.scope is GrantScope.GROUP else self.name == caller.user_name

    @property
    def source(self) -> str:
        """Where a limit that it raised comes from, for a person."""
        whom = f" to group {self.name}" if self.scope is GrantScope.GROUP else ""
        return f"{GRANTED}{self.granted_by}{whom} until {self.expires_at:%Y-%m-%d %H:%M} UTC"


def key_of(limit: Limit | LimitAmount) -> LimitKey:
    """Return which limit it is."""
    return limit.dimension, limit.gpu_type, limit.window_days


def limit_name(key: LimitKey) -> str:
    """Return a limit's name in one word: ``gpus``, ``gpus:h100`` or ``gpu_hours:30``."""
    return ":".join(str(part) for part in key if part is not None)


def raised(limits: Iterable[Limit], grants: Sequence[LimitGrant]) -> tuple[Limit, ...]:
    """Return the limits with what is granted of them; only those of persons are ever raised, and none is lowered.

    Parameters
    ----------
    grants
        Those in force that are for the person.
    """
    if not grants:
        return tuple(limits)
    best: dict[LimitKey, LimitGrant] = {}
    for grant in sorted(grants, key=lambda each: (each.amount, each.expires_at, each.id)):
        best[grant.key] = grant
    return tuple(_raised(limit, best.get(key_of(limit))) for limit in limits)


def _raised(limit: Limit, grant: LimitGrant | None) -> Limit:
    if grant is None or limit.scope != USER or grant.amount <= limit.amount:
        return limit
    return replace(limit, amount=grant.amount, source=grant.source)


def grantable(catalog: Catalog) -> frozenset[LimitKey]:
    """Return the limits that some tier has: there is nothing to raise where nothing is limited."""
    return frozenset(key_of(limit) for tier in catalog.tiers.values() for limit in tier.limits)
