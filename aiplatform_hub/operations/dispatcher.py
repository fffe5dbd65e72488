"""Gives the queued what their turn brings: one pass orders, holds, and ends what can never start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.dispatching import Survey
from aiplatform_hub.domain.eligibility import Around, Eligibility, Eligible
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.queueing import Outlook, QueueEntry, RequestMemory, Standing, View, WaitCode, WaitReason, line_id, line_of
from aiplatform_hub.domain.quota import Decision, Outcome, tier_of
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.taking import promised_now, with_takeable
from aiplatform_hub.errors import BudgetExhaustedError, QuotaExceededError, QuotaInUseError, Reason
from aiplatform_hub.operations.decision_archive import DecisionArchive
from aiplatform_hub.operations.decision_inputs import DecisionInputs
from aiplatform_hub.operations.decision_reader import DecisionReader, Scene, must_end_of
from aiplatform_hub.operations.demand_history import DemandHistory
from aiplatform_hub.operations.interest import InterestClock
from aiplatform_hub.operations.queue_json import entries_to_json, outlook_from_json, outlook_to_json
from aiplatform_hub.operations.queue_memory import QueueMemory
from aiplatform_hub.operations.releases import Releases
from aiplatform_hub.operations.requeueing import is_due_again, put_back
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Connection, Database, TakenError
from aiplatform_hub.storage.decisions import DecisionStore, StoredDecision
from aiplatform_hub.storage.grants import GrantStore
from aiplatform_hub.storage.live_allocations import Live
from aiplatform_hub.storage.queue_outlooks import QueueOutlookStore

ACTOR = "keeper"
MOST_ROUNDS = 20
"""Plans in one pass: another is made when a start was refused that the plan had counted on."""
ENDS_AT_ONCE = 50
"""Requests that one transaction ends: others wait for it."""
OUTLOOK_LIFETIME = timedelta(seconds=30)
"""Age from which an outlook that says the same is written again."""
REFUSED_LIFETIME = timedelta(seconds=10)
"""How long a refusal of the last moment stands while nothing has ended or begun."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one pass did."""

    held: tuple[Allocation, ...] = ()
    """Queued before, held now; their starts are to be asked for."""
    ended: Mapping[UUID, EndCause] = field(default_factory=dict)
    entries: tuple[QueueEntry, ...] = ()
    """Who still waits, in order."""
    claims: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    """Running sessions whose GPUs are asked for: by the planner, each with the requests for which it does, or by Kueue, with none."""
    goes_on: bool = False
    """Whether another pass soon would find more to do."""


@dataclass(slots=True)
class _Refusals:
    """Requests that the plan started and the last look refused. They stand while what is open stays the same."""

    reasons: dict[UUID, tuple[Allocation, WaitReason]] = field(default_factory=dict)
    """With the request as it was refused: its owner may change it."""
    open_ids: frozenset[UUID] = frozenset()
    since: datetime | None = None

    def standing(self, live: Live, now: datetime) -> Mapping[UUID, WaitReason]:
        opened = live.open
        ids = frozenset(allocation.id for allocation in opened)
        if ids != self.open_ids or self.since is None or not timedelta(0) <= now - self.since < REFUSED_LIFETIME:
            self.reasons, self.open_ids, self.since = {}, ids, now
        if not self.reasons:
            return {}
        return {a.id: known[1] for a in live.queued if (known := self.reasons.get(a.id)) is not None and known[0] == a}

    def stay(self, held: Allocation) -> None:
        """Let refusals stand though this pass itself has opened one more."""
        self.open_ids |= {held.id}


class Dispatcher:
    """Moves requests out of the queue. Several may run at once; each step is one transaction that checks everything again."""

    looks_when_empty = False
    """Whether there is something to do though nobody waits."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        decisions: DecisionStore,
        grants: GrantStore,
        outlooks: QueueOutlookStore,
        history: DemandHistory,
        reader: DecisionReader,
        budgets: BudgetStore,
        memory: QueueMemory,
        releases: Releases,
        interest: InterestClock,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._decisions = decisions
        self._grants = grants
        self._outlooks = outlooks
        self._history = history
        self._reader = reader
        self._budgets = budgets
        self._releases = releases
        self._memory = memory
        self._interest = interest
        self._clock = clock
        self._archive = DecisionArchive(decisions)
        self._refusals = _Refusals()
        self._requests = RequestMemory()
        self._promised: Mapping[UUID, frozenset[UUID]] | None = None
        self._told: tuple[object, ...] = ()
        self._told_at: datetime | None = None

    def owners(self) -> frozenset[tuple[int, str]]:
        """Return the hub's ids of those who have something queued, with their names as they are stored."""
        with self._database.read() as connection:
            return self._allocations.queued_owners(connection)

    def renamed(self, user_id: int, user_name: str) -> None:
        """Let what a person has queued go on under their new name, at its place."""
        with self._database.write() as connection:
            self._reader.lock(connection)
            now = self._clock()
            for allocation in self._allocations.queued(connection):
                if allocation.user_id == user_id and allocation.user_name != user_name:
                    self._allocations.change(connection, allocation, to=allocation.state, at=now, cause="renamed", actor=ACTOR, user_name=user_name)

    def dispatch(self, people: Mapping[str, Caller | None]) -> Dispatched:
        """Make one pass.

        Parameters
        ----------
        people
            Owners of queued requests as the hub knows them now, by name; None for those whom it does not know.
            A request whose owner is not named waits.
        """
        held: list[Allocation] = []
        ended: dict[UUID, EndCause] = {}
        self._interest.tick()
        for _ in range(MOST_ROUNDS):
            survey, outlook = self._survey(people)
            self._memory.note(survey)
            ended |= self._end(survey.over[:ENDS_AT_ONCE])
            started, is_refused = self._start(survey.starts, survey)
            held += started
            if not is_refused:
                break
        gone = frozenset({*ended, *(allocation.id for allocation in held)})
        entries, claims = survey.entries(gone), survey.claims
        self._promised = {id_: sessions for id_, sessions in survey.promises.items() if id_ not in gone}
        self._publish(replace(outlook, promised=self._promised, claims=frozenset(claims), wanted=survey.wanted), entries)
        return Dispatched(tuple(held), ended, entries, claims)

    def unstarted(self) -> tuple[Allocation, ...]:
        """Return the holds out of the queue that no start has taken up yet."""
        with self._database.read() as connection:
            return self._allocations.unstarted(connection)

    def start_failed(self, allocation_id: UUID) -> bool:
        """Put a hold that no start took up back to the front of the queue, once; end it the second time. False when it is no such hold any more."""
        with self._database.write() as connection:
            allocation = self._untaken(connection, allocation_id)
            if allocation is None:
                return False
            now = self._clock()
            if is_due_again(allocation, EndCause.START_FAILED):
                return put_back(self._allocations, connection, allocation, now, ACTOR)
            cause, ended_at = EndCause.START_FAILED, max(now, allocation.held_at or now)
            self._allocations.change(
                connection, allocation, to=AllocationState.ENDED, at=now, cause=cause.value, actor=ACTOR, ended_at=ended_at, end_cause=cause
            )
            return True

    def give_back(self, allocation_id: UUID) -> bool:
        """Put a hold back to its place in the queue without counting it as a failure: the hub could not be asked. False when it is no such hold any more."""
        with self._database.write() as connection:
            allocation = self._untaken(connection, allocation_id)
            return allocation is not None and put_back(self._allocations, connection, allocation, self._clock(), ACTOR, has_failed=False)

    def _untaken(self, connection: Connection, allocation_id: UUID) -> Allocation | None:
        self._reader.lock(connection)
        found = self._allocations.find(connection, allocation_id)
        is_one = found is not None and found.state is AllocationState.HELD and found.starting_at is None and found.queued_at is not None
        return found if is_one else None

    def _survey(self, people: Mapping[str, Caller | None]) -> tuple[Survey, Outlook]:
        """Read the queue, judge each request by what is its own, and plan for the others."""
        with self._database.read() as connection:
            now = self._clock()
            live = self._allocations.live(connection)
            pool = self._reader.pool(connection, is_locking=False)
            granted = self._grants.tiers_of_waiting(connection, now) if live.queued else {}
            limit_grants = self._reader.limit_grants(connection, now) if live.queued else ()
            self._history.refresh(connection, now)
            sessions = self._releases.around(connection, live.open, now)
            promised = self._known_promises(connection)
        around = Around(now, self._interest.interest, self._reader.catalog, people, granted, live.open, limit_grants)
        eligibility, refused = Eligibility(around), self._refusals.standing(live, now)
        judged = {a.id: (refused and refused.get(a.id)) or eligibility.of(a) for a in live.queued}
        blocked = frozenset(id_ for id_, verdict in judged.items() if not isinstance(verdict, Eligible))
        known = self._history.outlook(now, live.open, live.queued, blocked)
        kept = promised_now(promised, {a.id: a for a in (*live.open, *live.queued)}, blocked) if promised else {}
        outlook = replace(with_takeable(known, live.open, sessions, self._history.policy), promised=kept)
        view = View(now.timestamp(), live.open, live.queued, self._reader.capacity(pool, live.open))
        line = line_of(view, outlook, self._history.policy, self._requests)
        return Survey(view, judged, line, plan(line)), outlook

    def _known_promises(self, connection: Connection) -> Mapping[UUID, frozenset[UUID]]:
        """Return for whom the last pass, this dispatcher's or an earlier one's, had sessions stopped."""
        if self._promised is None:
            stored = self._outlooks.outlook(connection)
            self._promised = {} if stored is None else outlook_from_json(stored).promised
        return self._promised

    def _end(self, over: Sequence[tuple[Allocation, EndCause]]) -> dict[UUID, EndCause]:
        """End requests that can never start, unless their owners changed them since."""
        ended: dict[UUID, EndCause] = {}
        if not over:
            return ended
        with self._database.write() as connection:
            self._reader.lock(connection)
            now = self._clock()
            for allocation, cause in over:
                if self._allocations.find(connection, allocation.id) == allocation:
                    self._expire(connection, allocation, cause, now)
                    ended[allocation.id] = cause
        return ended

    def _expire(self, connection: Connection, allocation: Allocation, cause: EndCause, now: datetime) -> None:
        self._allocations.change(connection, allocation, to=AllocationState.EXPIRED, at=now, cause=cause.value, actor=ACTOR, ended_at=now, end_cause=cause)

    def _start(self, starts: Sequence[tuple[Allocation, Eligible]], survey: Survey) -> tuple[list[Allocation], bool]:
        """Hold for everybody whose turn it is; return whether somebody was refused, so that another plan is needed."""
        held: list[Allocation] = []
        is_refused = False
        for allocation, eligible in starts:
            result = self._hold(allocation, eligible, survey)
            if isinstance(result, WaitReason):
                self._refusals.reasons[allocation.id] = allocation, result
                is_refused = True
            elif result is not None:
                self._refusals.stay(result)
                held.append(result)
        return held, is_refused

    def _hold(self, seen: Allocation, eligible: Eligible, survey: Survey) -> Allocation | WaitReason | None:
        """Move one request from queued to held in one transaction; None when it is not as it was seen, or over."""
        try:
            with self._database.write() as connection:
                pool = self._reader.pool(connection, is_locking=True)
                scene = Scene(self._clock(), pool, Live(self._allocations.open(connection), ()))
                if self._allocations.find(connection, seen.id) != seen:
                    return None
                facts = self._reader.facts(connection, eligible.caller, seen.request.project, scene.now)
                inputs = self._reader.inputs_with(eligible.caller, seen, self._around(seen, scene), facts, self._standing(seen, survey))
                tier = tier_of(eligible.caller, self._reader.catalog, facts.granted_tier).name
                return self._decide(connection, replace(seen, tier=tier), eligible, inputs, scene.now)
        except TakenError:
            return None  # another one of the same server, or the same GPUs, was faster: the next pass sees it

    def _standing(self, seen: Allocation, survey: Survey) -> Standing:
        """Return how a request whose turn it is stands to the queue."""
        line = survey.line if seen.request.gpus else None
        return Standing(line_id(seen.id), may_wait=True, is_queued=True, line=line, plan=survey.plan)

    def _around(self, seen: Allocation, scene: Scene) -> Scene:  # noqa: ARG002 - others give a part of the place to each
        """Return what of the place a request may take."""
        return scene

    def _decide(self, connection: Connection, seen: Allocation, eligible: Eligible, inputs: DecisionInputs, now: datetime) -> Allocation | WaitReason | None:
        decision = inputs.decide()
        if decision.outcome is Outcome.QUEUE:
            return _wait_reason(decision)
        if decision.outcome is Outcome.DENY:
            return self._refuse_for_good(connection, seen, decision, now)
        stored = StoredDecision(uuid4(), seen.id, now, ACTOR, decision.outcome.value, None, self._archive.write(connection, inputs), ())
        self._decisions.insert(connection, stored)
        self._budgets.hold(connection, seen.id, inputs.claims, now)
        metrics.HOLDS.labels(seen.door).inc()
        return self._allocations.change(
            connection,
            seen,
            to=AllocationState.HELD,
            at=now,
            cause="dispatched",
            actor=ACTOR,
            devices=decision.devices,
            held_at=now,
            must_end_at=must_end_of(decision),
            request=eligible.request,
            tier=seen.tier,
        )

    def _refuse_for_good(self, connection: Connection, seen: Allocation, decision: Decision, now: datetime) -> WaitReason | None:
        """End what its owner's or project's limits never allow; what only the place lacks may come back."""
        if decision.error_code == BudgetExhaustedError.code:
            self._expire(connection, seen, EndCause.BUDGET_EXHAUSTED, now)
            return None
        if any(reason.code == QuotaExceededError.code and reason.scope != "machine" for reason in decision.reasons):
            self._expire(connection, seen, EndCause.NEVER_FITS, now)
            return None
        return _wait_reason(decision)

    def _publish(self, outlook: Outlook, entries: tuple[QueueEntry, ...]) -> None:
        """Store what was known and found, if it says something new."""
        takeable = frozenset((id_, each.is_idle, each.is_ending) for id_, each in outlook.takeable.items())
        taken = (takeable, frozenset(outlook.promised.items()), outlook.claims, outlook.wanted)
        told = (entries, outlook.blocked, self._history.sequence, frozenset(outlook.ends), self._history.policy, *taken)
        now = self._clock()
        is_old = self._told_at is None or not timedelta(0) <= now - self._told_at < OUTLOOK_LIFETIME
        if told == self._told and not (is_old and entries):
            return
        with self._database.write() as connection:
            self._reader.lock(connection)
            self._outlooks.write(connection, outlook=outlook_to_json(outlook), entries=entries_to_json(entries), at=now)
        self._told, self._told_at = told, now


def _wait_reason(decision: Decision) -> WaitReason:
    """Return what a decision lacked in numbers."""
    reason = next((each for each in decision.reasons if each.code == QuotaInUseError.code), decision.reasons[0])
    return WaitReason(_code(reason), reason.dimension or "gpus", reason.scope or "machine", reason.requested or "0", None, reason.limit, reason.used)


def _code(reason: Reason) -> WaitCode:
    return WaitCode.QUOTA_IN_USE if reason.code == QuotaInUseError.code else WaitCode.CAPACITY
