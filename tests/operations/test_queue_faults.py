"""What goes wrong while something is queued ends it, or lets it wait, with its own reason; who is behind starts in the same pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, GpuDevice
from aiplatform_hub.domain.catalog import Catalog, GpuType, LimitAmount
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.web.view_models.formats import END_CAUSES
from tests.support.chain import CATALOG, Chain, person, want

MORE = replace(
    CATALOG,
    environment_templates={**CATALOG.environment_templates, "other": replace(CATALOG.environment_templates["jupyterlab"], name="other")},
    gpu_types={**CATALOG.gpu_types, "l4": GpuType("l4", "NVIDIA L4")},
)
"""The catalogue in which everything is asked for: what a fault takes away is not what those behind need."""
FRONT, BEHIND = person(3, "vision", "staff"), person(4)


def without(**names: str) -> Catalog:
    """Return the catalogue without one entry of a kind."""
    return replace(MORE, **{kind: {n: v for n, v in getattr(MORE, kind).items() if n != name} for kind, name in names.items()})


def with_project_limit(gpus: int) -> Catalog:
    limited = replace(MORE.projects["vision"], limits=(LimitAmount("gpus", Decimal(gpus)),))
    return replace(MORE, projects={**MORE.projects, "vision": limited})


def with_tier_limit(gpus: int) -> Catalog:
    limits = tuple(replace(limit, amount=Decimal(gpus)) if limit.dimension == "gpus" else limit for limit in MORE.tiers["premium"].limits)
    return replace(MORE, tiers={**MORE.tiers, "premium": replace(MORE.tiers["premium"], limits=limits)})


def asked(gpus: int = 2, **changes: object) -> LaunchRequest:
    return replace(want(gpus, project="vision"), **changes)


USUAL = asked()


@dataclass(frozen=True)
class Fault:
    """What happens while the request of the front is queued."""

    catalog: Catalog = MORE
    owner: Caller | None = FRONT
    asks: LaunchRequest = USUAL
    breaks: Callable[[Chain], None] = lambda chain: None
    ends: EndCause | None = None
    waits: WaitCode | None = None


def break_one(chain: Chain) -> None:
    devices = [GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number, is_healthy=number != 0) for number in range(4)]
    chain.enforcer.register_devices(devices, 256 * GIB, 32)


FAULTS = {
    "owner deleted": Fault(owner=None, ends=EndCause.OWNER_GONE),
    "another person has the name": Fault(owner=replace(FRONT, user_id=33), ends=EndCause.OWNER_GONE),
    "tier lowered": Fault(catalog=with_tier_limit(1), ends=EndCause.NEVER_FITS),
    "owner left the tier's group": Fault(owner=person(3, "vision"), asks=asked(4), ends=EndCause.NEVER_FITS),
    "template removed": Fault(catalog=without(environment_templates="other"), asks=asked(environment_template="other"), ends=EndCause.TEMPLATE_REMOVED),
    "GPU type removed": Fault(catalog=without(gpu_types="l4"), asks=asked(1, gpu_type="l4"), ends=EndCause.OPTIONS_REFUSED),
    "project closed": Fault(catalog=without(projects="vision"), ends=EndCause.PROJECT_CLOSED),
    "owner left the project": Fault(owner=person(3, "staff"), ends=EndCause.NOT_ALLOWED),
    "project's limit lowered": Fault(catalog=with_project_limit(1), ends=EndCause.NEVER_FITS),
    "GPU unhealthy": Fault(asks=asked(4), breaks=break_one, waits=WaitCode.TOO_LARGE),
    "hub has not told who the owner is": Fault(owner=person(99), waits=WaitCode.UNKNOWN_OWNER),
}


@pytest.fixture
def line(chain: Chain) -> Chain:
    """Four GPUs, two held by each of two people, in a catalogue with everything; a machine that has both GPU types."""
    made = Chain(chain.database, chain.head_file, chain.clock, MORE)
    made.hold(person(1), "a", want(2))
    made.hold(person(2), "b", want(2))
    return made


def put_in_line(line: Chain, fault: Fault) -> tuple[Allocation, Allocation]:
    """Queue the front's request, a minute before that of who is behind."""
    if fault.asks.gpu_type == "l4":
        devices = [GpuDevice(f"GPU-{n}", "h100", 80 * GIB, index=n) for n in range(4)] + [GpuDevice("GPU-l4", "l4", 24 * GIB, index=4)]
        line.enforcer.register_devices(devices, 256 * GIB, 32)
        line.hold(person(9), "z", replace(want(1), gpu_type="l4"))
    front = line.queue(FRONT, "c", fault.asks)
    line.clock.move(minutes=1)
    behind = line.queue(BEHIND, "d", want(1))
    assert front.is_queued
    assert behind.is_queued
    return front, behind


@pytest.mark.parametrize("name", FAULTS)
def test_fault_while_queued_has_its_own_reason_and_blocks_nobody(line: Chain, name: str) -> None:
    fault = FAULTS[name]
    front, behind = put_in_line(line, fault)
    fault.breaks(line)
    line.end(next(a for a in line.open() if a.user_id == 1))
    changed = Chain(line.database, line.head_file, line.clock, fault.catalog)
    people: dict[str, Caller | None] = {"user4": BEHIND, "user3": fault.owner}
    if fault.waits is WaitCode.UNKNOWN_OWNER:
        del people["user3"]
    result = changed.dispatcher.dispatch(people)
    found = line.find(front)
    assert [held.id for held in result.held] == [behind.id], "who is behind starts in the same pass"
    if fault.ends is not None:
        assert (found.state, found.end_cause, result.ended) == (AllocationState.EXPIRED, fault.ends, {front.id: fault.ends})
        assert END_CAUSES[fault.ends].startswith("It left the queue, because")
        return
    assert found.is_queued
    assert [(entry.id, entry.reason.code) for entry in result.entries] == [(front.id, fault.waits)]


def test_what_waits_for_a_gpu_that_broke_starts_when_it_is_well_again(line: Chain) -> None:
    front, behind = put_in_line(line, FAULTS["GPU unhealthy"])
    break_one(line)
    for allocation in line.open():
        line.end(allocation)
    people = {"user3": FRONT, "user4": BEHIND}
    assert [held.id for held in line.dispatcher.dispatch(people).held] == [behind.id]
    line.register(4)
    line.end(line.find(behind))
    assert [held.id for held in line.dispatcher.dispatch(people).held] == [front.id]


def test_every_fault_at_once_leaves_an_empty_way(line: Chain) -> None:
    """Ten requests that can never start stand before one that can."""
    for number in range(10):
        line.queue(replace(FRONT, user_id=20 + number, user_name=f"gone{number}"), "c", asked())
    line.clock.move(minutes=1)
    behind = line.queue(BEHIND, "d", want(2))
    line.end(next(a for a in line.open() if a.user_id == 1))
    people: dict[str, Caller | None] = {"user4": BEHIND, **dict.fromkeys((f"gone{number}" for number in range(10)), None)}
    result = line.dispatcher.dispatch(people)
    assert [held.id for held in result.held] == [behind.id]
    assert set(result.ended.values()) == {EndCause.OWNER_GONE}
    assert len(result.ended) == 10
