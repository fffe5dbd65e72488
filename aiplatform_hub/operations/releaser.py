"""Gives GPUs back: warns, records why a session ends, and lets owners extend theirs. The hub is asked by the keeper."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queue_sentences import span
from aiplatform_hub.domain.release import END_CAUSES, KEEPER_CAUSES, Action, Cause, SessionFacts, Surroundings, Verdict, extension, facts_of, verdict
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.releases import CALLED_OFF, WARNED, Releases
from aiplatform_hub.operations.session_stops import SessionStops
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.heartbeats import HeartbeatStore

ACTOR = "keeper"
BEGINS = "release_begins"
"""Cause of the event with which the stop of a session is recorded."""
EXTENDED = "extended"
LONGEST_BREAK = timedelta(seconds=60)
"""A keeper that did not look for longer cannot say that warnings were seen: they begin anew."""

LARGEST_CORRECTION_SECONDS = 2.0
"""A clock that goes on by more than this beside the time that has passed has jumped."""

Claims = Mapping[UUID, frozenset[UUID]]
"""Sessions whose GPUs are asked for: by the planner, each with the requests for which it does, or by Kueue, with none."""


@dataclass(frozen=True, slots=True)
class Released:
    """What one look found."""

    warned: tuple[tuple[Allocation, Verdict], ...] = ()
    """Sessions whose warning has begun."""
    recorded: tuple[tuple[Allocation, Verdict], ...] = ()
    """Sessions that end, as of now."""
    stops: tuple[Allocation, ...] = ()
    """Sessions whose servers the hub is to stop: those, and earlier ones that have not ended yet."""


class Releaser:
    """Writes what the verdict asks for. Each step is one transaction that looks again."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        devices: DeviceStore,
        heartbeats: HeartbeatStore,
        releases: Releases,
        stops: SessionStops,
        audit_trail: AuditTrail,
        policy: Callable[[], Policy],
        clock: Callable[[], datetime],
        uptime_seconds: Callable[[], float],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._devices = devices
        self._heartbeats = heartbeats
        self._releases = releases
        self._stops = stops
        self._audit_trail = audit_trail
        self._policy = policy
        self._clock = clock
        self._uptime_seconds = uptime_seconds
        self._looked_at: datetime | None = None
        self._looked_seconds: float | None = None

    def begin(self) -> None:
        """Go on from where an earlier keeper was when it last gave a sign of life; called before this one gives its first."""
        with self._database.read() as connection:
            beat = self._heartbeats.find(connection, ACTOR)
        self._looked_at = None if beat is None else beat.at

    def look(self, claims: Claims, asked: Collection[UUID] = ()) -> Released:
        """Warn, call off, and record the end of what is due.

        Parameters
        ----------
        claims
            What the last pass over the queue asked for.
        asked
            Sessions that the hub already stops.
        """
        now, uptime_seconds = self._clock(), self._uptime_seconds()
        with self._database.read() as connection:
            sessions = [a for a in self._allocations.live(connection).open if a.state is AllocationState.ACTIVE and a.devices]
            known = self._releases.around(connection, sessions, now) if sessions else {}
        around = known if self._has_watched(now, uptime_seconds) else {id_: replace(each, warned_at=None) for id_, each in known.items()}
        verdicts = {s.id: self._verdict(s, around[s.id], is_waiting=bool(claims.get(s.id))) for s in sessions}
        warned = self._mark(sessions, known, around, verdicts, now)
        due = [s for s in sessions if s.stop_cause is None and _is_due(s, verdicts[s.id], claims)]
        recorded = [found for s in due if (found := self._record(s.id, claims.get(s.id, frozenset()))) is not None]
        again = [s for s in sessions if s.stop_cause is not None and self._is_to_stop_again(s, around[s.id], claims, asked)]
        self._looked_at, self._looked_seconds = now, uptime_seconds  # not before: a look that failed was none
        return Released(warned, tuple(recorded), (*(session for session, _ in recorded), *again))

    def _has_watched(self, now: datetime, uptime_seconds: float) -> bool:
        """Whether a keeper has looked all the time until now, and the clock has not jumped since."""
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at <= LONGEST_BREAK:
            return False
        if self._looked_seconds is None:
            return True
        return (now - self._looked_at).total_seconds() <= uptime_seconds - self._looked_seconds + LARGEST_CORRECTION_SECONDS

    def _verdict(self, session: Allocation, around: Surroundings, *, is_waiting: bool) -> Verdict:
        return verdict(facts_of(session, around), self._policy(), is_somebody_waiting=is_waiting)

    def _mark(
        self,
        sessions: Iterable[Allocation],
        known: Mapping[UUID, Surroundings],
        around: Mapping[UUID, Surroundings],
        verdicts: Mapping[UUID, Verdict],
        now: datetime,
    ) -> tuple[tuple[Allocation, Verdict], ...]:
        """Record which warnings begin and which are over; every page hears of both. Return those that begin."""
        begin = [s for s in sessions if verdicts[s.id].action is not Action.KEEP and around[s.id].warned_at is None]
        over = [s for s in sessions if verdicts[s.id].action is Action.KEEP and known[s.id].warned_at is not None]
        if not begin and not over:
            return ()
        with self._database.write() as connection:
            self._devices.lock(connection)
            for session, cause in (*((s, WARNED) for s in begin), *((s, CALLED_OFF) for s in over)):
                found = self._allocations.find(connection, session.id)
                if found is not None and found.state is session.state:
                    self._allocations.change(connection, session, to=session.state, at=now, cause=cause, actor=ACTOR)
        return tuple((session, verdicts[session.id]) for session in begin)

    def _record(self, session_id: UUID, requests: frozenset[UUID]) -> tuple[Allocation, Verdict] | None:
        """Record why a session ends, if everything is still so; None if not."""
        with self._database.write() as connection:
            self._devices.lock(connection)
            now = self._clock()
            session = self._allocations.find(connection, session_id)
            if session is None or session.state is not AllocationState.ACTIVE or session.stop_cause is not None:
                return None
            around = self._releases.around(connection, (session,), now)[session_id]
            found = self._verdict(session, around, is_waiting=self._still_waits(connection, requests))
            if found.action is not Action.RELEASE or found.why is None:
                return None
            cause = END_CAUSES[found.why]
            ending = self._allocations.change(
                connection, session, to=session.state, at=now, cause=BEGINS, actor=ACTOR, stop_requested_by=ACTOR, stop_cause=cause
            )
            detail = {"cause": cause.value, "user": session.user_name}
            self._audit_trail.record(connection, actor=ACTOR, action="release_session", target=f"allocation:{session_id}", outcome="allowed", detail=detail)
        metrics.RELEASES.labels(cause.value).inc()
        return (ending or session), found

    def _still_waits(self, connection: Connection, requests: Iterable[UUID]) -> bool:
        """Whether one of the requests for which the GPUs were asked for is still queued."""
        return any((found := self._allocations.find(connection, id_)) is not None and found.is_queued for id_ in requests)

    def _is_to_stop_again(self, session: Allocation, around: Surroundings, claims: Claims, asked: Collection[UUID]) -> bool:
        """Whether the hub is to be asked, perhaps again, to stop a session; a stop of ours that is not due any more is taken back.

        A keeper that was killed after it recorded a stop may have been away for long: its session may be used again by now.
        """
        if session.stop_cause not in KEEPER_CAUSES:
            return session.id in claims  # somebody else's stop, which whoever asked for it may not have lived to carry out
        if session.id in asked:
            return True
        if self._verdict(session, around, is_waiting=True).action is Action.RELEASE:
            return True
        self._stops.withdraw(session.id, ACTOR)
        return False

    def extend(self, allocation_id: UUID, *, by: str) -> Allocation:
        """Keep a session for one more period from now, up to the ceiling; for another person's session this leaves an audit row.

        Raises
        ------
        NotFoundError
            If there is no such allocation.
        ConflictError
            If it does not run, has no GPUs, is being stopped, or cannot be extended any further.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            session, now = self._allocations.find(connection, allocation_id), self._clock()
            if session is None:
                raise NotFoundError("There is no such allocation.")
            facts = facts_of(session, self._releases.around(connection, (session,), now)[session.id])
            until = extension(facts, self._policy())
            refusal = self._refusal(session) or (self._at_the_end(session, facts) if until is None else "")
            if refusal or until is None:
                raise ConflictError(refusal)
            at = datetime.fromtimestamp(until, now.tzinfo)
            changed = self._allocations.change(connection, session, to=session.state, at=now, cause=EXTENDED, actor=by, extended_until=at)
            if by != session.user_name:
                detail = {"until": isoformat(at)}
                self._audit_trail.record(connection, actor=by, action="extend_session", target=f"allocation:{allocation_id}", outcome="allowed", detail=detail)
            return changed or session

    def _refusal(self, session: Allocation) -> str:
        """Return why a session cannot be extended at all; empty if it can."""
        if session.state is not AllocationState.ACTIVE:
            return f"Only a session that runs can be extended; this one is {session.state.value}."
        if not session.devices:
            return "This session has no GPUs, so nothing takes them back and there is nothing to extend."
        if session.stop_cause is not None:
            return "This session is being stopped already."
        return "" if self._policy().is_releasing else "Nobody's GPUs are taken back here, so there is nothing to extend."

    def _at_the_end(self, session: Allocation, facts: SessionFacts) -> str:
        if facts.reclaimed_seconds is not None:
            return "The cluster's queue, Kueue, wants the GPUs of this session back, so it cannot be extended; it then waits in line again, at its place."
        if facts.budget_ends_seconds is not None:
            return "A budget that pays for this session is spent, so it cannot be extended; ask an admin for more."
        if session.must_end_at is not None:
            return f"This session makes room for a class at {isoformat(session.must_end_at)} and cannot be extended beyond that."
        return f"This session is kept as long as extensions may carry it: {span(self._policy().session_ceiling_seconds)} from its start."


def _is_due(session: Allocation, found: Verdict, claims: Claims) -> bool:
    """Whether a session ends now. What Kueue wants back goes when Kueue says so still: while it is silent, nothing is stopped for it."""
    return found.action is Action.RELEASE and (found.why is not Cause.PREEMPTED or session.id in claims)
