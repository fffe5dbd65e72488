"""What is stored of a decision is the same whether or not its allocations were written before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.requests import LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.operations.decision_inputs import AllocationWriter

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def allocation(name: str) -> Allocation:
    request = LaunchRequest("pytorch", 1, "h100", GIB, 1, "personal", "university")
    return Allocation(
        id=uuid4(),
        user_id=1,
        user_name=name,
        server_name="",
        spawner_id=None,
        request=request,
        state=AllocationState.HELD,
        devices=("GPU-0",),
        door="page",
        actor=name,
        requested_at=NOW,
    )


def test_what_is_as_it_was_is_not_written_again():
    write, ana = AllocationWriter(), allocation("ana")
    (first,) = write([ana])
    (second,) = write([ana])
    assert second is first


def test_what_has_changed_come_and_gone_is_written_as_it_is():
    write, ana, ben, cem = AllocationWriter(), allocation("ana"), allocation("ben"), allocation("cem")
    write([ana, ben])
    started = replace(ana, state=AllocationState.ACTIVE, started_at=NOW)
    found = write([cem, started])
    assert found == AllocationWriter()([cem, started])
    assert [values["state"] for values in found] == ["held", "active"]
    assert write([ana]) == AllocationWriter()([ana])
