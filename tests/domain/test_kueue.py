"""What Kueue is told, what is done to its Workloads, and what its conditions mean."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import UUID

import pytest

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import NodePool
from aiplatform_hub.domain.kueue import (
    SPAN,
    STEP,
    Answer,
    Asked,
    ChangeKind,
    Flavour,
    Phase,
    Wish,
    Work,
    changes,
    is_of_flavour,
    is_ready_for,
    priorities,
    queue_name,
    reason_of,
    warnings,
)
from aiplatform_hub.domain.queueing import WaitCode

ASKED = Asked("vision", "nvidia.com/gpu", 2, "nvidia.com/gpu.product", ("NVIDIA-A100",))
A, B, C, D = (UUID(int=number) for number in range(1, 5))


def work(id_: UUID, priority: int = SPAN, phase: Phase = Phase.PENDING, asked: Asked = ASKED, why: str = "", **more: object) -> Work:
    return Work(id_, f"uid-{id_}", asked, priority, phase, why=why, **more)  # type: ignore[arg-type]


def done(wishes: list[Wish], *works: Work, floor: int = 0) -> list[tuple[str, UUID]]:
    return [(change.kind.value, change.id) for change in changes(wishes, Answer({each.id: each for each in works}), floor)]


def waits(id_: UUID, asked: Asked = ASKED, **more: bool) -> Wish:
    return Wish(id_, asked, is_waiting=True, **more)


def holds(id_: UUID) -> Wish:
    return Wish(id_, ASKED, is_waiting=False)


FEWER = replace(ASKED, gpus=1)
CASES = [
    ("it is made", [waits(A)], [], [("create", A)]),
    ("of a running session too", [holds(A)], [], [("create", A)]),
    ("what stands for nothing goes", [], [work(A)], [("delete", A)]),
    ("but is not told to go twice", [], [work(A, is_going=True)], []),
    ("and is made again once it is gone", [waits(A)], [work(A, is_going=True)], []),
    ("what is right stays", [waits(A)], [work(A)], []),
    ("fewer GPUs change what waits", [waits(A, FEWER)], [work(A)], [("update", A)]),
    ("and give an admission back", [waits(A, FEWER)], [work(A, phase=Phase.ADMITTED)], [("delete", A)]),
    ("other products of the type do not", [waits(A, replace(ASKED, products=()))], [work(A, phase=Phase.ADMITTED)], []),
    ("who may not start is not active", [waits(A, is_active=False)], [work(A)], [("update", A)]),
    ("and keeps no quota", [waits(A, is_active=False)], [work(A, phase=Phase.ADMITTED)], [("delete", A)]),
    ("nor a reservation", [waits(A, is_active=False)], [work(A, phase=Phase.RESERVED)], [("delete", A)]),
    ("what is evicted while it waits is made anew", [waits(A)], [work(A, phase=Phase.EVICTED)], [("delete", A)]),
    ("what is evicted while it runs stays until it has ended", [holds(A)], [work(A, phase=Phase.EVICTED)], []),
    ("quota comes free before it is asked for", [waits(B)], [work(A)], [("delete", A), ("create", B)]),
    ("an admission for others is left alone", [holds(A), waits(B)], [work(A, phase=Phase.ADMITTED), work(B)], []),
]


@pytest.mark.parametrize(("wishes", "works", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_workloads_are_made_what_they_should_be(wishes: list[Wish], works: list[Work], expected: list[tuple[str, UUID]]) -> None:
    assert done(wishes, *works) == expected


def test_a_running_session_is_before_all_who_wait() -> None:
    (running,) = changes([holds(A), waits(B)], Answer(), 100)
    (waiting,) = changes([holds(A), waits(B)], Answer({A: work(A, 100 + SPAN + 1, Phase.ADMITTED)}), 100)
    assert (running.id, running.priority) == (A, 100 + SPAN + 1)
    assert waiting.id == B
    assert running.priority > waiting.priority > 100


def test_the_workload_that_is_meant_is_named_by_its_uid() -> None:
    (deletion,) = changes([], Answer({A: work(A)}), 0)
    (update,) = changes([waits(A, FEWER)], Answer({A: work(A)}), 0)
    assert (deletion.uid, update.uid, update.kind) == (f"uid-{A}", f"uid-{A}", ChangeKind.UPDATE)


def test_who_comes_last_changes_nobody_else() -> None:
    known = priorities([A, B], {}, 0)
    assert priorities([A, B, C], known, 0) == {**known, C: known[B] - STEP}


def test_who_comes_between_changes_nobody_else() -> None:
    known = priorities([A, B], {}, 0)
    after = priorities([A, C, B], known, 0)
    assert (after[A], after[B]) == (known[A], known[B])
    assert known[A] > after[C] > known[B]


def test_who_leaves_changes_nobody() -> None:
    known = priorities([A, B, C], {}, 0)
    assert priorities([B, C], known, 0) == {B: known[B], C: known[C]}


def test_one_that_moves_changes_one() -> None:
    known = priorities([A, B, C, D], {}, 0)
    after = priorities([B, C, D, A], known, 0)
    assert {id_ for id_ in after if after[id_] != known[id_]} == {A}


def test_no_room_numbers_everybody_anew() -> None:
    after = priorities([A, C, B], {A: 5, B: 4}, 0)
    assert after[A] > after[C] > after[B]


@pytest.mark.parametrize("floor", [0, -5_000_000, 900_000_000])
def test_priorities_always_fall_within_their_span(floor: int) -> None:
    draw = random.Random(7)
    known: dict[UUID, int] = {}
    people = [UUID(int=number) for number in range(1, 400)]
    for _ in range(60):
        order = draw.sample(people, draw.randint(0, len(people)))
        known = priorities(order, known, floor)
        values = [known[id_] for id_ in order]
        assert values == sorted(values, reverse=True)
        assert len(set(values)) == len(values)
        assert all(floor < value <= floor + SPAN for value in values)


QUOTA = "Pending: couldn't assign flavors to pod set session: insufficient unused quota for nvidia.com/gpu in flavor gpu-node, 1 more needed"
REASONS = [
    (None, WaitCode.NEW, None),
    (work(A), WaitCode.KUEUE_BEHIND, "1"),
    (work(A, is_going=True), WaitCode.NEW, None),
    (work(A, why=QUOTA), WaitCode.KUEUE_QUOTA, "1"),
    (work(A, why=f"{QUOTA}. Pending the preemption of 1 workload(s)"), WaitCode.RELEASE, None),
    (
        work(A, why="Pending: couldn't assign flavors to pod set session: insufficient quota for nvidia.com/gpu in flavor a, 8 > maximum capacity (4)"),
        WaitCode.KUEUE_LIMIT,
        None,
    ),
    (work(A, why="ExceedsMaxQuota: it does"), WaitCode.KUEUE_LIMIT, None),
    (work(A, why="WaitingForQuota: it does"), WaitCode.KUEUE_QUOTA, None),
    (work(A, why="WaitingForPreemptedWorkloads: it does"), WaitCode.RELEASE, None),
    (work(A, why="Inadmissible: LocalQueue vision doesn't exist"), WaitCode.KUEUE_QUEUE, None),
    (work(A, why="Inadmissible: ClusterQueue gpus is stopped"), WaitCode.KUEUE_QUEUE, None),
    (work(A, why="Pending: couldn't assign flavors to pod set session: flavor a doesn't match node affinity"), WaitCode.KUEUE_FLAVOUR, None),
    (work(A, why="Pending: something that no version has said yet"), WaitCode.KUEUE, None),
    (work(A, phase=Phase.ADMITTED), WaitCode.KUEUE_NODE, None),
    (work(A, phase=Phase.RESERVED), WaitCode.KUEUE_CHECK, None),
]


@pytest.mark.parametrize(("found", "code", "free"), REASONS)
def test_conditions_mean(found: Work | None, code: WaitCode, free: str | None) -> None:
    reason = reason_of(found, ASKED, 3, 1)
    assert (reason.code, reason.requested, reason.free) == (code, "2", free)


def test_who_has_no_place_yet_is_new() -> None:
    assert reason_of(work(A), ASKED, None, 1).code is WaitCode.NEW


def test_who_is_first_is_behind_nobody() -> None:
    assert reason_of(work(A), ASKED, 0, 1).code is WaitCode.KUEUE


def test_only_what_is_asked_for_now_is_ready() -> None:
    admitted = work(A, phase=Phase.ADMITTED)
    assert is_ready_for(admitted, waits(A))
    assert not is_ready_for(admitted, waits(A, FEWER))
    assert not is_ready_for(replace(admitted, is_going=True), waits(A))
    assert not any(is_ready_for(work(A, phase=phase), waits(A)) for phase in Phase if phase is not Phase.ADMITTED)
    assert not is_ready_for(None, waits(A))


def test_a_flavour_is_its_nodes_and_the_pools_that_do_not_contradict() -> None:
    flavour = Flavour({"zone": "a", "nvidia.com/gpu.product": "NVIDIA-A100"}, frozenset({"n1"}))
    pools = {name: NodePool(name, name, "a100", 4, 2, 6, {"zone": name}, 0, 0) for name in ("a", "b")}
    here = GpuDevice("n1/nvidia.com/gpu/0", "a100", 0, node="n1")
    assert is_of_flavour(here, flavour, pools)
    assert not is_of_flavour(replace(here, node="n2"), flavour, pools)
    assert is_of_flavour(replace(here, node=None, node_pool="a"), flavour, pools)
    assert not is_of_flavour(replace(here, node=None, node_pool="b"), flavour, pools)
    assert not is_of_flavour(replace(here, node=None, node_pool="gone"), flavour, pools)


@pytest.mark.parametrize(
    ("pattern", "project", "name"), [("{project}", "vision", "vision"), ("hub-{project}", "Deep_Learning", "hub-deep-learning"), ("gpus", "vision", "gpus")]
)
def test_each_project_has_its_queue(pattern: str, project: str, name: str) -> None:
    assert queue_name(pattern, project) == name


def test_what_works_against_people_is_told() -> None:
    assert warnings("gpus", {"queueingStrategy": "StrictFIFO", "preemption": {"withinClusterQueue": "Never"}}) == ()
    (order,) = warnings("gpus", {})
    assert "few GPUs pass those for many" in order
    (within,) = warnings("gpus", {"queueingStrategy": "StrictFIFO", "preemption": {"withinClusterQueue": "LowerPriority"}})
    assert "withinClusterQueue to Never" in within
