"""What a launch, or a queued request with fewer GPUs, would be answered now; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.queue_values import PlannerInput
from aiplatform_hub.domain.queueing import View, line_id, line_of
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.wait_estimates import OneEstimate, WaitEstimate
from aiplatform_hub.domain.wait_words import Chance
from aiplatform_hub.errors import QuotaInUseError
from aiplatform_hub.operations.decision_inputs import DecisionInputs
from aiplatform_hub.operations.decision_reader import DecisionReader, Scene, next_place
from aiplatform_hub.operations.wait_forecaster import WaitForecaster
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.facts import Facts

OFFICE_CLOSES_HOUR = 20
"""When the evening begins, as far as advice is concerned."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """What would happen."""

    decision: Decision
    before: int | None = None
    """How many of those who wait for the same GPU type would come first; None unless it would wait for its turn at GPUs."""
    position: int | None = None
    """Its place among all who wait, 1 is next; None unless it would wait and its place was asked for."""
    wait: WaitEstimate | None = None
    """How long it would wait; None unless it would wait for its turn at GPUs, and where nobody can tell."""

    @property
    def chance(self) -> Chance:
        """The same for a sentence."""
        return Chance(self.decision.is_admitted, self.wait)


AlternativeKind = Literal["fewer_gpus", "gpu_type", "evening"]
"""What would be different."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Something else that could be asked for, and what would become of it."""

    kind: AlternativeKind
    request: LaunchRequest
    prospect: Prospect
    asked_at: datetime | None = None
    """When it would be asked for; None for now. Its wait counts from then."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Everything that was read."""

    scene: Scene
    facts: Mapping[str, Facts]
    """By project."""
    estimates: OneEstimate = field(default_factory=OneEstimate)


class Prospects:
    """Decides on what nobody has asked for yet. Every method is one look at the database."""

    def __init__(
        self,
        *,
        database: Database,
        allocations: AllocationStore,
        reader: DecisionReader,
        forecaster: WaitForecaster,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._allocations = allocations
        self._reader = reader
        self._forecaster = forecaster
        self._clock = clock

    def of_one_launch(self, caller: Caller, request: LaunchRequest, *, may_wait: bool) -> Prospect:
        """Return what a launch would be answered, with its place and how long it would wait if it would be queued.

        Raises
        ------
        ServiceUnavailableError
            If the place or the database is not known yet, or does not answer.
        """
        look = self._look(caller, {request.project})
        draft = _draft(caller, request, look.scene)
        inputs = _planned(self._reader.inputs(caller, draft, look.scene, look.facts[request.project], may_wait=may_wait))
        found = self._prospect(inputs, draft, look, look.facts[request.project])
        position = self._position(inputs, draft, look.scene, look.facts[request.project]) if found.decision.outcome is Outcome.QUEUE else None
        return replace(found, position=position)

    def of_each(self, caller: Caller, requests: Collection[LaunchRequest]) -> dict[LaunchRequest, Prospect]:
        """Return what each of several launches would be answered if it may wait; not how long it would."""
        look = self._look(caller, {request.project for request in requests}, has_waits=False)
        found = {}
        for request in requests:
            draft, facts = _draft(caller, request, look.scene), look.facts[request.project]
            inputs = _planned(self._reader.inputs(caller, draft, look.scene, facts, may_wait=True))
            found[request] = self._prospect(inputs, draft, look, facts, has_wait=False)
        return found

    def of_launch(self, caller: Caller, requests: Mapping[int, LaunchRequest]) -> dict[int, Prospect]:
        """Return what each of several launches, by GPU count, would be answered if it may wait."""
        look = self._look(caller, {request.project for request in requests.values()})
        found = {}
        for gpus, request in requests.items():
            draft, facts = _draft(caller, request, look.scene), look.facts[request.project]
            inputs = _planned(self._reader.inputs(caller, draft, look.scene, facts, may_wait=True))
            found[gpus] = self._prospect(inputs, draft, look, facts)
        return found

    def of_fewer_gpus(self, caller: Caller, queued: Allocation, *, has_waits: bool = False) -> dict[int, Prospect]:
        """Return what a queued request, at its place, would come to with each smaller GPU count that its environment template takes.

        Parameters
        ----------
        caller
            The request's owner.
        has_waits
            Whether to estimate how long each would wait, which takes its time.
        """
        return self.each_with_fewer_gpus(caller, [queued], has_waits=has_waits)[queued.id]

    def each_with_fewer_gpus(self, caller: Caller, queued: Sequence[Allocation], *, has_waits: bool = False) -> dict[UUID, dict[int, Prospect]]:
        """Return the same of each of several requests of one person, in one look, by id and GPU count."""
        counts = {allocation.id: self._fewer(allocation.request) for allocation in queued}
        if not any(counts.values()):
            return {id_: {} for id_ in counts}
        look = self._look(caller, {allocation.request.project for allocation in queued}, has_waits=has_waits)
        return {a.id: {gpus: self._prospect_of(caller, _with_gpus(a, gpus), look, has_wait=has_waits) for gpus in counts[a.id]} for a in queued}

    def _prospect_of(self, caller: Caller, draft: Allocation, look: _Look, *, has_wait: bool) -> Prospect:
        facts = look.facts[draft.request.project]
        inputs = _planned(self._reader.inputs(caller, draft, look.scene, facts, may_wait=True))
        return self._prospect(inputs, draft, look, facts, has_wait=has_wait)

    def alternatives(self, caller: Caller, request: LaunchRequest, gpu_types: Iterable[str]) -> tuple[Alternative, ...]:
        """Return what other launches would be answered: with fewer GPUs, with GPUs of other types, and asked for in the evening.

        Parameters
        ----------
        gpu_types
            Types that the request could ask for.
        """
        fewer = {number: replace(request, gpus=number) for number in self._fewer(request) if number}
        look = self._look(caller, {request.project})
        found = [self._alternative(caller, "fewer_gpus", other, look) for other in reversed(fewer.values())]
        others = [replace(request, gpu_type=name) for name in gpu_types if request.gpus and name != request.gpu_type]
        found += [self._alternative(caller, "gpu_type", other, look) for other in others]
        if request.gpus:
            found.append(self._alternative(caller, "evening", request, look, asked_at=evening(look.scene.now)))
        return tuple(each for each in found if each is not None)

    def _fewer(self, request: LaunchRequest) -> range:
        template = self._reader.catalog.environment_templates.get(request.environment_template)
        return range(0 if template is None else template.gpus.minimum, 0 if template is None else request.gpus)

    def _alternative(self, caller: Caller, kind: AlternativeKind, request: LaunchRequest, look: _Look, asked_at: datetime | None = None) -> Alternative | None:
        facts = look.facts[request.project]
        draft = _draft(caller, request, look.scene)
        inputs = _planned(self._reader.inputs(caller, draft, look.scene, facts, may_wait=True))
        if asked_at is None:
            return Alternative(kind, request, self._prospect(inputs, draft, look, facts))
        decision = inputs.decide()
        if decision.outcome is not Outcome.QUEUE or _before(inputs, decision) is None:
            return None
        later = replace(draft, queued_at=asked_at)
        wait = self._wait(replace(inputs, standing=None), later, look, facts)
        delay = (asked_at - look.scene.now).total_seconds()
        return Alternative(kind, request, Prospect(decision, wait=None if wait is None else wait.after(delay)), asked_at)

    def _look(self, caller: Caller, projects: Collection[str], *, has_waits: bool = True) -> _Look:
        """Read what the answers depend on, in one look."""
        with self._database.read() as connection:
            now = self._clock()
            scene = Scene(now, self._reader.pool(connection, is_locking=False), self._allocations.live(connection))
            facts = {project: self._reader.facts(connection, caller, project, now, has_queue=True) for project in sorted(projects)}
            if has_waits:
                self._forecaster.learn(connection)
        return _Look(scene, facts)

    def _prospect(self, inputs: DecisionInputs, draft: Allocation, look: _Look, facts: Facts, *, has_wait: bool = True) -> Prospect:
        decision = inputs.decide()
        before = _before(inputs, decision)
        return Prospect(decision, before, wait=self._wait(inputs, draft, look, facts) if before is not None and has_wait else None)

    def _wait(self, inputs: DecisionInputs, draft: Allocation, look: _Look, facts: Facts) -> WaitEstimate | None:
        scene = look.scene
        others = [a for a in scene.live.queued if a.id != draft.id]
        line = self._line(inputs, (*others, draft), scene, facts)
        return self._forecaster.of_one(line, (*scene.live.open, *others, draft), line_id(draft.id), look.estimates)

    def _line(self, inputs: DecisionInputs, queued: tuple[Allocation, ...], scene: Scene, facts: Facts) -> PlannerInput:
        standing = inputs.standing
        if standing is not None and standing.line is not None:
            return standing.line
        return line_of(View(scene.now.timestamp(), scene.live.open, queued, inputs.capacity), self._reader.outlook(facts), self._reader.policy)

    def _position(self, inputs: DecisionInputs, draft: Allocation, scene: Scene, facts: Facts) -> int:
        """Return the place among those who would still wait after the next pass; requests without GPUs stand last."""
        queued = (*scene.live.queued, draft)
        if not draft.request.gpus:
            return len(queued)
        planned = inputs.standing.plan if inputs.standing else None
        if planned is None:  # nobody waits for such GPUs, but others may come first
            planned = plan(self._line(inputs, queued, scene, facts))
        return len(planned.waiting_before(line_id(draft.id))) + 1


def evening(now: datetime) -> datetime:
    """Return the next 20:00 of this machine's time zone."""
    local = now.astimezone()
    at = local.replace(hour=OFFICE_CLOSES_HOUR, minute=0, second=0, microsecond=0)
    return (at if at > local else at + timedelta(days=1)).astimezone(UTC)


def _planned(inputs: DecisionInputs) -> DecisionInputs:
    """Return the inputs with the plan of the line in them: decision and place come from the same one."""
    standing = inputs.standing
    if standing is None or standing.line is None:
        return inputs
    return replace(inputs, standing=replace(standing, plan=plan(standing.line)))


def _before(inputs: DecisionInputs, decision: Decision) -> int | None:
    is_of_its_own = any(reason.code == QuotaInUseError.code for reason in decision.reasons)
    if decision.outcome is not Outcome.QUEUE or not inputs.request.gpus or is_of_its_own:
        return None
    standing = inputs.standing
    if standing is None or standing.line is None or standing.plan is None:
        return 0
    same_type = {waiting.id for waiting in standing.line.waiting if waiting.gpu_type in {None, inputs.request.gpu_type}}
    return sum(id_ in same_type for id_ in standing.plan.waiting_before(standing.request_id))


def _draft(caller: Caller, request: LaunchRequest, scene: Scene) -> Allocation:
    """Return a launch as it would wait."""
    return Allocation(
        id=uuid4(),
        user_id=caller.user_id,
        user_name=caller.user_name,
        server_name="",
        spawner_id=None,
        request=request,
        state=AllocationState.QUEUED,
        devices=(),
        door="page",
        actor=caller.user_name,
        requested_at=scene.now,
        queued_at=next_place(scene),
        confirmed_at=scene.now,
    )


def _with_gpus(queued: Allocation, gpus: int) -> Allocation:
    """Return the request with fewer GPUs, at its place in the queue."""
    return replace(queued, request=replace(queued.request, gpus=gpus, gpu_type=queued.request.gpu_type if gpus else None))
