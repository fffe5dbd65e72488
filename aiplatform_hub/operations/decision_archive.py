"""Stores decisions with what they saw. What is large is stored once, and many decisions name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.quota import Capacity
from aiplatform_hub.operations.decision_inputs import DecisionInputs, allocation_to_json, capacity_to_json, from_json, parts_of, to_json
from aiplatform_hub.storage.database import Connection, after_commit
from aiplatform_hub.storage.decisions import DecisionStore, StoredDecision

FEW = 40
"""So many sessions and GPUs together stand in the decision itself: on a machine that is quicker than to name them."""


class DecisionArchive:
    """Turns what a decision saw into what is stored of it, and back.

    A decision beside a thousand sessions would be 0.8 MB, written while everybody waits for its lock. So each
    session is stored as it was when it was seen first, and again when it has changed; likewise a cluster's GPUs.
    """

    def __init__(self, decisions: DecisionStore) -> None:
        self._decisions = decisions
        self._allocations: Mapping[int, tuple[Allocation, int]] = {}
        self._capacity: tuple[object, int] = (None, 0)

    def write(self, connection: Connection, inputs: DecisionInputs) -> dict[str, Any]:
        """Return inputs as they are stored with their decision, in the transaction that decides."""
        if len(inputs.open_allocations) + len(inputs.capacity.devices) <= FEW:
            return to_json(inputs)
        opened = self._name_allocations(connection, inputs.open_allocations)
        return to_json(inputs, {"open_allocations": opened, "capacity": self._name_capacity(connection, inputs.capacity)})

    def read(self, connection: Connection, decision: StoredDecision) -> DecisionInputs:
        """Return the inputs of a stored decision."""
        return from_json(decision.inputs, self._decisions.parts(connection, parts_of(decision.inputs)))

    @staticmethod
    def whole(decision: StoredDecision, inputs: DecisionInputs) -> StoredDecision:
        """Return a decision with all of the inputs that were read of it in it, for people."""
        return replace(decision, inputs=to_json(inputs)) if parts_of(decision.inputs) else decision

    def _name_allocations(self, connection: Connection, allocations: Sequence[Allocation]) -> list[int]:
        """Return an id for each, and store those that are not as they were. What is kept here is alive, so that no other has its ``id()``."""
        known = self._allocations
        new = [allocation for allocation in allocations if id(allocation) not in known]
        added = self._decisions.add_parts(connection, [allocation_to_json(allocation) for allocation in new])
        named = {id(allocation): (allocation, part) for allocation, part in zip(new, added, strict=True)}
        found = {id(allocation): known.get(id(allocation)) or named[id(allocation)] for allocation in allocations}
        after_commit(connection, lambda: setattr(self, "_allocations", found))
        return [found[id(allocation)][1] for allocation in allocations]

    def _name_capacity(self, connection: Connection, capacity: Capacity) -> int:
        """Return an id of it as if nobody held anything: who does is known from the sessions."""
        about = (capacity.memory_bytes, capacity.cpu_cores, capacity.is_cluster, capacity.gpu_labels, capacity.shapes)
        what = (about, tuple(state.device for state in capacity.devices))
        known, part = self._capacity
        if what != known:
            (part,) = self._decisions.add_parts(connection, [capacity_to_json(capacity.with_holders(()))])
            after_commit(connection, lambda: setattr(self, "_capacity", (what, part)))
        return part
