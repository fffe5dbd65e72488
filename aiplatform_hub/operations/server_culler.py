"""Ends servers without GPUs that nobody uses. The stock culler stops them; why is recorded here before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.release import Action, SessionFacts, Surroundings, Verdict, is_unused_for_sure, verdict
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.inactivity import InactivityLimits
from aiplatform_hub.operations.releaser import BEGINS
from aiplatform_hub.operations.releases import Releases
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.operations.unused_warnings import UnusedWarnings
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore

ACTOR = "culler"
SAME = timedelta(minutes=1)
"""Announced ends that differ by no more are one: the hub's clock and ours are not read at the same time."""


@dataclass(frozen=True, slots=True)
class Culling:
    """What a look at a server found."""

    is_to_end: bool = False
    is_told: bool = False
    """Whether something was recorded of it that has to be taken back when it is used again."""


class ServerCuller:
    """Says which server the culler may stop. Sessions with GPUs are the keeper's matter: their GPUs tell whether they are used."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        limits: InactivityLimits,
        releases: Releases,
        warnings: UnusedWarnings,
        stops: SessionStops,
        audit_trail: AuditTrail,
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._limits = limits
        self._releases = releases
        self._warnings = warnings
        self._stops = stops
        self._audit_trail = audit_trail
        self._policy = policy
        self._clock = clock

    def look(self, user_name: str, server_name: str, inactive: timedelta, place_limit: timedelta | None) -> Culling:
        """Record that an unused server ends, warn its owner before, and take both back where it is used again.

        Parameters
        ----------
        inactive
            How long nobody has used it, as the hub sees it.
        place_limit
            After how long it ends where the policy does not say; None is never.
        """
        with self._database.read() as connection:
            session = self._of(connection, user_name, server_name)
            if session is None or not _is_ours(session):
                return Culling()
            around = self._around(connection, session)
            found = self._verdict(connection, session, around, inactive, place_limit)
        if is_unused_for_sure(found, around.now.timestamp()):
            return Culling(is_to_end=self._record(session, inactive, place_limit), is_told=True)
        if session.stop_cause is EndCause.CULLED:  # it was not stopped, and is used again or may be unused for longer
            self._stops.withdraw(session.id, ACTOR)
        if found.action is not Action.KEEP and found.deadline_seconds is not None:
            self._warn(session, around, datetime.fromtimestamp(found.deadline_seconds, UTC))
            return Culling(is_told=True)
        if around.warned_at is not None:
            self._warnings.call_off(session.id, actor=ACTOR)
        return Culling()

    def _warn(self, session: Allocation, around: Surroundings, until: datetime) -> None:
        """Tell the owner, unless they were told so already."""
        known = around.unused_until
        if known is None or abs(known - until) > SAME:
            self._warnings.begin(session.id, until, actor=ACTOR)

    def _around(self, connection: Connection, session: Allocation) -> Surroundings:
        return self._releases.around(connection, (session,), self._clock())[session.id]

    def _of(self, connection: Connection, user_name: str, server_name: str) -> Allocation | None:
        opened = self._allocations.open(connection)
        return next((a for a in opened if (a.user_name, a.server_name) == (user_name, server_name)), None)

    def _verdict(self, connection: Connection, session: Allocation, around: Surroundings, inactive: timedelta, place_limit: timedelta | None) -> Verdict:
        now = around.now
        limit = self._limits.of(connection, session, None if place_limit is None else place_limit.total_seconds())
        facts = SessionFacts(
            now_seconds=now.timestamp(),
            started_seconds=(session.started_at or now).timestamp(),
            warned_seconds=(around.warned_at or now).timestamp(),
            inactive_since_seconds=(now - inactive).timestamp(),
            inactive_after_seconds=limit.after_seconds,
        )
        return verdict(facts, self._policy(), is_somebody_waiting=False)

    def _record(self, seen: Allocation, inactive: timedelta, place_limit: timedelta | None) -> bool:
        """Record that a session ends, if everything is still so."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            session = self._allocations.find(connection, seen.id)
            if session is None or not _is_ours(session):
                return False
            if session.stop_cause is not None:
                return session.stop_cause is EndCause.CULLED
            around = self._around(connection, session)
            if not is_unused_for_sure(self._verdict(connection, session, around, inactive, place_limit), around.now.timestamp()):
                return False
            self._allocations.change(
                connection, session, to=session.state, at=self._clock(), cause=BEGINS, actor=ACTOR, stop_requested_by=ACTOR, stop_cause=EndCause.CULLED
            )
            detail = {"cause": EndCause.CULLED.value, "user": session.user_name}
            self._audit_trail.record(connection, actor=ACTOR, action="release_session", target=f"allocation:{session.id}", outcome="allowed", detail=detail)
            return True


def _is_ours(session: Allocation) -> bool:
    return not session.devices and session.state is AllocationState.ACTIVE
