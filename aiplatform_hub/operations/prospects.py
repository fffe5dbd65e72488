"""What a launch, or a queued request with fewer GPUs, would be answered now; nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.queue_values import Plan
from aiplatform_hub.domain.queueing import View, line_id, line_of
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import QuotaInUseError
from aiplatform_hub.operations.decision_inputs import DecisionInputs
from aiplatform_hub.operations.decision_reader import DecisionReader, Scene, next_place
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.facts import Facts


@dataclass(frozen=True, slots=True)
class Prospect:
    """What would happen."""

    decision: Decision
    before: int | None = None
    """How many of those who wait for the same GPU type would come first; None unless it would wait for its turn at GPUs."""
    position: int | None = None
    """Its place among all who wait, 1 is next; None unless it would wait and its place was asked for."""


class Prospects:
    """Decides on what nobody has asked for yet. Every method is one look at the database."""

    def __init__(self, *, database: Database, allocations: AllocationStore, reader: DecisionReader, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._allocations = allocations
        self._reader = reader
        self._clock = clock

    def of_one_launch(self, caller: Caller, request: LaunchRequest, *, may_wait: bool) -> Prospect:
        """Return what a launch would be answered, with its place if it would be queued.

        Raises
        ------
        ServiceUnavailableError
            If the place or the database is not known yet, or does not answer.
        """
        with self._database.read() as connection:
            scene = self._scene(connection)
            facts = self._facts(connection, caller, request, scene)
        draft = _draft(caller, request, scene)
        inputs = _planned(self._reader.inputs(caller, draft, scene, facts, may_wait=may_wait))
        decision = inputs.decide()
        position = self._position(inputs, draft, scene, facts) if decision.outcome is Outcome.QUEUE else None
        return Prospect(decision, _before(inputs, decision), position)

    def of_launch(self, caller: Caller, requests: Mapping[int, LaunchRequest]) -> dict[int, Prospect]:
        """Return what each of several launches, by GPU count, would be answered if it may wait."""
        with self._database.read() as connection:
            scene = self._scene(connection)
            return {gpus: self._prospect(connection, caller, _draft(caller, request, scene), scene) for gpus, request in requests.items()}

    def of_fewer_gpus(self, caller: Caller, queued: Allocation) -> dict[int, Decision]:
        """Return what a queued request, at its place, would come to with each smaller GPU count that its environment template takes.

        Parameters
        ----------
        caller
            The request's owner.
        """
        template = self._reader.catalog.environment_templates.get(queued.request.environment_template)
        counts = range(0 if template is None else template.gpus.minimum, 0 if template is None else queued.request.gpus)
        if not counts:
            return {}
        with self._database.read() as connection:
            scene = self._scene(connection)
            return {gpus: self._inputs(connection, caller, _with_gpus(queued, gpus), scene).decide() for gpus in counts}

    def _scene(self, connection: Connection) -> Scene:
        return Scene(self._clock(), self._reader.pool(connection, is_locking=False), self._allocations.live(connection))

    def _prospect(self, connection: Connection, caller: Caller, draft: Allocation, scene: Scene) -> Prospect:
        inputs = _planned(self._inputs(connection, caller, draft, scene))
        decision = inputs.decide()
        return Prospect(decision, _before(inputs, decision))

    def _inputs(self, connection: Connection, caller: Caller, draft: Allocation, scene: Scene) -> DecisionInputs:
        return self._reader.inputs(caller, draft, scene, self._facts(connection, caller, draft.request, scene), may_wait=True)

    def _facts(self, connection: Connection, caller: Caller, request: LaunchRequest, scene: Scene) -> Facts:
        return self._reader.facts(connection, caller, request.project, scene.now, has_queue=bool(scene.live.queued))

    def _position(self, inputs: DecisionInputs, draft: Allocation, scene: Scene, facts: Facts) -> int:
        """Return the place among those who would still wait after the next pass; requests without GPUs stand last."""
        queued = (*scene.live.queued, draft)
        if not draft.request.gpus:
            return len(queued)
        planned = inputs.standing.plan if inputs.standing else None
        if planned is None:  # nobody waits for such GPUs, but others may come first
            view = View(scene.now.timestamp(), scene.live.open, queued, inputs.capacity)
            planned = plan(line_of(view, self._reader.outlook(facts), self._reader.policy))
        return len(_before_in(planned, line_id(draft.id))) + 1


def _before_in(planned: Plan, request_id: str) -> list[str]:
    """Return who still waits after a plan and is looked at before a request."""
    starts = {start.request_id for start in planned.starts}
    order = [each.request_id for each in sorted(planned.decisions, key=lambda each: each.position)]
    return [id_ for id_ in order[: order.index(request_id)] if id_ not in starts]


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
    return sum(id_ in same_type for id_ in _before_in(standing.plan, standing.request_id))


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
