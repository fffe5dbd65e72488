"""How long each running server may be unused: reads what that depends on."""

from __future__ import annotations

from collections.abc import Callable

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.inactivity import InactivityLimit, Owned, inactivity_limit
from aiplatform_hub.domain.limits import tier_of
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.grants import GrantStore


class InactivityLimits:
    """Finds the limit of a server, in the transaction of whoever asks."""

    def __init__(self, *, catalog: Catalog, decisions: DecisionStore, grants: GrantStore, policy: Callable[[], Policy]) -> None:
        self._catalog = catalog
        self._decisions = decisions
        self._grants = grants
        self._policy = policy

    def of(self, connection: Connection, session: Allocation, place_seconds: float | None) -> InactivityLimit:
        """Return how long a session without GPUs may be unused, by the policy that counts now.

        Parameters
        ----------
        place_seconds
            What the culler was started with, in seconds; None is never.
        """
        policy, request = self._policy(), session.request
        tier = self._tier(connection, session) if policy.tier_inactive_after_seconds else ""
        return inactivity_limit(Owned(request.project, tier, request.environment_template), policy, place_seconds)

    def _tier(self, connection: Connection, session: Allocation) -> str:
        """Return the tier that the owner had when the session was let in: a server's limit does not change while it runs because of its owner."""
        decided = self._decisions.owner_of(connection, session.id)
        at, groups = (session.requested_at, frozenset[str]()) if decided is None else decided
        granted = self._grants.tier_at(connection, session.user_name, at)
        return tier_of(Caller(session.user_id, session.user_name, groups), self._catalog, granted).name
