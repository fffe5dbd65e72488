"""Ends servers without GPUs that nobody uses. The stock culler stops them; why is recorded here before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.release import Action, Cause, SessionFacts, verdict
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.releaser import BEGINS
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore

ACTOR = "culler"


class ServerCuller:
    """Says which server the culler may stop. Sessions with GPUs are the keeper's matter: their GPUs tell whether they are used."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        stops: SessionStops,
        audit_trail: AuditTrail,
        policy: Policy,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._stops = stops
        self._audit_trail = audit_trail
        self._policy = policy
        self._clock = clock

    def cull(self, user_name: str, server_name: str, inactive: timedelta, limit: timedelta) -> bool:
        """Record that an inactive server ends; False where it must not, and nothing is recorded.

        Parameters
        ----------
        inactive
            How long nobody has used it, as the hub sees it.
        limit
            After how long it ends.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            session = self._of(connection, user_name, server_name)
            if session is None or session.devices or session.state is not AllocationState.ACTIVE:
                return False
            if session.stop_cause is not None:
                return session.stop_cause is EndCause.CULLED
            if not self._is_due(session, inactive, limit):
                return False
            self._allocations.change(
                connection, session, to=session.state, at=self._clock(), cause=BEGINS, actor=ACTOR, stop_requested_by=ACTOR, stop_cause=EndCause.CULLED
            )
            detail = {"cause": EndCause.CULLED.value, "user": user_name}
            self._audit_trail.record(connection, actor=ACTOR, action="release_session", target=f"allocation:{session.id}", outcome="allowed", detail=detail)
            return True

    def take_back(self, user_name: str, server_name: str) -> None:
        """Forget that a server was to end, as it was not stopped and is used again."""
        with self._database.read() as connection:
            session = self._of(connection, user_name, server_name)
        if session is not None and session.stop_cause is EndCause.CULLED:
            self._stops.withdraw(session.id, ACTOR)

    def _of(self, connection: Connection, user_name: str, server_name: str) -> Allocation | None:
        opened = self._allocations.open(connection)
        return next((a for a in opened if (a.user_name, a.server_name) == (user_name, server_name)), None)

    def _is_due(self, session: Allocation, inactive: timedelta, limit: timedelta) -> bool:
        now = self._clock()
        facts = SessionFacts(
            now_seconds=now.timestamp(),
            started_seconds=(session.started_at or now).timestamp(),
            inactive_since_seconds=(now - inactive).timestamp(),
            inactive_after_seconds=limit.total_seconds(),
        )
        found = verdict(facts, self._policy, is_somebody_waiting=False)
        return found.action is Action.RELEASE and found.why is Cause.INACTIVE
