"""Why a person has the tier that they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiplatform_hub.domain.catalog import Catalog, Tier
from aiplatform_hub.domain.limits import tier_of
from aiplatform_hub.domain.requests import Caller


@dataclass(frozen=True, slots=True)
class TierChoice:
    """A person's tier, and what it comes from."""

    tier: Tier
    groups: tuple[str, ...]
    """The person's groups that give it; empty if none does."""
    is_granted: bool
    """Whether it comes from a grant, and from no group."""
    outranked: tuple[Tier, ...]
    """Other tiers that the person has, of lower priority, the highest first."""

    @property
    def is_default(self) -> bool:
        """Whether it is the tier of whoever has no other."""
        return not self.groups and not self.is_granted


def tier_choice(groups: Iterable[str], catalog: Catalog, granted_tier: str | None = None) -> TierChoice:
    """Return the tier that counts for a person, as decisions take it.

    Parameters
    ----------
    groups
        JupyterHub groups of the person.
    granted_tier
        Tier of the grant in force; None without one.
    """
    caller = Caller(0, "", frozenset(groups))
    tier = tier_of(caller, catalog, granted_tier)
    through = tuple(sorted(caller.groups & set(tier.groups)))
    others = [each for each in catalog.tiers.values() if each.name != tier.name and (caller.groups & set(each.groups) or each.name == granted_tier)]
    return TierChoice(
        tier=tier,
        groups=through,
        is_granted=not through and tier.name == granted_tier,
        outranked=tuple(sorted(others, key=lambda each: (-each.priority, each.name))),
    )
