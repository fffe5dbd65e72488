"""A request fits every limit, or it is refused with every limit it does not fit."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest
from domain_values import ALICE, BOB, CATALOG, NOW, allocation, machine, pool_limit, request, user_limit
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.allocations import AllocationState
from aiplatform_hub.domain.limits import CPU_SHARES_PER_CORE, Limit, amount_of
from aiplatform_hub.domain.quota import Observed, Outcome, decide, limits_for, refusal, tier_of, usage_against
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import CapacityError, QuotaExceededError, QuotaInUseError

FOUR = machine("h100", "h100", "h100", "h100")
NOTHING = Observed()


def decided(wanted, limits=(), opened=(), capacity=FOUR, observed=NOTHING, *, caller=ALICE):
    return decide(wanted, caller, limits, opened, capacity, observed)


DENIALS = {
    "more GPUs than the tier ever allows": (request(3), [user_limit("gpus", 2)], [], FOUR, NOTHING, "quota_exceeded", "user:alice"),
    "guest asks for a GPU": (request(1), [user_limit("gpus", 0)], [], FOUR, NOTHING, "quota_exceeded", "user:alice"),
    "GPUs in use by oneself": (request(1), [user_limit("gpus", 2)], [allocation(1, gpus=2)], FOUR, NOTHING, "quota_in_use", "user:alice"),
    "one over the limit": (request(2), [user_limit("gpus", 2)], [allocation(1, gpus=1)], FOUR, NOTHING, "quota_in_use", "user:alice"),
    "a held allocation counts": (
        request(2),
        [user_limit("gpus", 2)],
        [allocation(1, gpus=1, state=AllocationState.HELD)],
        FOUR,
        NOTHING,
        "quota_in_use",
        "user:alice",
    ),
    "GPUs of one type": (request(2), [user_limit("gpus", 1, gpu_type="h100")], [], FOUR, NOTHING, "quota_exceeded", "user:alice"),
    "memory": (request(0, memory_gib=40), [user_limit("memory_bytes", 32 * GIB)], [], FOUR, NOTHING, "quota_exceeded", "user:alice"),
    "CPU cores in use": (
        request(0, cpu_cores=2),
        [user_limit("cpu_cores", 4)],
        [allocation(1, gpus=0, cpu_cores=3)],
        FOUR,
        NOTHING,
        "quota_in_use",
        "user:alice",
    ),
    "environments": (request(0), [user_limit("environments", 1)], [allocation(1, gpus=0)], FOUR, NOTHING, "quota_in_use", "user:alice"),
    "the project's pool": (request(2), [pool_limit("gpus", 3)], [allocation(1, BOB, gpus=2)], FOUR, NOTHING, "quota_in_use", "project:vision"),
    "the project's pool is too small": (request(4), [pool_limit("gpus", 3)], [], FOUR, NOTHING, "quota_exceeded", "project:vision"),
    "no GPU is free": (request(1), [], [allocation(1, BOB, gpus=4)], machine(*["h100"] * 4, held=range(4)), NOTHING, "capacity", "machine"),
    "a GPU is out of order": (request(2), [], [], machine("h100", "h100", unhealthy=(1,)), NOTHING, "capacity", "machine"),
    "the machine has fewer": (request(4), [], [], machine("h100", "h100"), NOTHING, "quota_exceeded", "machine"),
    "the machine has none of the type": (request(1, gpu_type="l4"), [], [], FOUR, NOTHING, "quota_exceeded", "machine"),
    "machine memory in use": (
        request(0, memory_gib=10),
        [],
        [allocation(1, BOB, gpus=0, memory_gib=10)],
        machine(memory_gib=16),
        NOTHING,
        "capacity",
        "machine",
    ),
    "more memory than the machine has": (request(0, memory_gib=20), [], [], machine(memory_gib=16), NOTHING, "quota_exceeded", "machine"),
    "storage over its limit": (
        request(1),
        [user_limit("storage_bytes", 100 * GIB)],
        [],
        FOUR,
        Observed(storage_bytes=100 * GIB + 1),
        "quota_in_use",
        "user:alice",
    ),
    "GPU-hours used up": (
        request(1),
        [user_limit("gpu_hours", 100, window_days=30)],
        [],
        FOUR,
        Observed(gpu_hours={("user", "alice", 30): Decimal(100)}),
        "quota_in_use",
        "user:alice",
    ),
    "GPU-hours do not last": (
        request(2, max_hours=6),
        [user_limit("gpu_hours", 100, window_days=30)],
        [],
        FOUR,
        Observed(gpu_hours={("user", "alice", 30): Decimal(90)}),
        "quota_in_use",
        "user:alice",
    ),
    "GPU-hours never last": (
        request(4, max_hours=26),
        [user_limit("gpu_hours", 100, window_days=30)],
        [],
        FOUR,
        NOTHING,
        "quota_exceeded",
        "user:alice",
    ),
    "GPU-hours of the pool": (
        request(1),
        [pool_limit("gpu_hours", 10, window_days=7)],
        [],
        FOUR,
        Observed(gpu_hours={("project", "vision", 7): Decimal("10.5")}),
        "quota_in_use",
        "project:vision",
    ),
}


@pytest.mark.parametrize("case", DENIALS.values(), ids=DENIALS)
def test_request_over_a_limit_is_denied_with_its_reason(case):
    wanted, limits, opened, capacity, observed, code, scope = case
    decision = decided(wanted, limits, opened, capacity, observed)
    assert (decision.outcome, decision.error_code, decision.devices) == (Outcome.DENY, code, ())
    (reason,) = decision.reasons
    assert (reason.code, reason.scope, reason.dimension) == (code, scope, reason.dimension)
    assert reason.message.endswith(".")
    assert reason.remedies
    assert Decimal(reason.limit) >= 0
    assert Decimal(reason.used) >= 0
    assert Decimal(reason.requested) >= 0


ADMISSIONS = {
    "exactly the limit": (request(2), [user_limit("gpus", 2)], [], FOUR, NOTHING),
    "the rest of the limit": (request(1), [user_limit("gpus", 2)], [allocation(1, gpus=1)], FOUR, NOTHING),
    "no limit at all": (request(4), [], [], FOUR, NOTHING),
    "an ended allocation does not count": (request(2), [user_limit("gpus", 2)], [allocation(1, gpus=2, state=AllocationState.ENDED)], FOUR, NOTHING),
    "another person's does not count": (request(2), [user_limit("gpus", 2)], [allocation(1, BOB, gpus=2)], FOUR, NOTHING),
    "another project's does not count": (request(3), [pool_limit("gpus", 3)], [allocation(1, gpus=1, project="personal")], FOUR, NOTHING),
    "another type's does not count": (request(1), [user_limit("gpus", 1, gpu_type="l4")], [], FOUR, NOTHING),
    "no GPUs although a lowered tier is overdrawn": (request(0), [user_limit("gpus", 0)], [allocation(1, gpus=2)], FOUR, NOTHING),
    "no GPUs although storage is over-full": (request(0), [user_limit("storage_bytes", GIB)], [], FOUR, Observed(storage_bytes=9 * GIB)),
    "storage exactly full": (request(1), [user_limit("storage_bytes", GIB)], [], FOUR, Observed(storage_bytes=GIB)),
    "storage not measured": (request(1), [user_limit("storage_bytes", 0)], [], FOUR, NOTHING),
    "no GPUs although GPU-hours are used up": (
        request(0, max_hours=5),
        [user_limit("gpu_hours", 1, window_days=7)],
        [],
        FOUR,
        Observed(gpu_hours={("user", "alice", 7): Decimal(2)}),
    ),
    "GPU-hours just last": (
        request(2, max_hours=5),
        [user_limit("gpu_hours", 100, window_days=30)],
        [],
        FOUR,
        Observed(gpu_hours={("user", "alice", 30): Decimal(90)}),
    ),
    "hours of another window": (
        request(1),
        [user_limit("gpu_hours", 1, window_days=7)],
        [],
        FOUR,
        Observed(gpu_hours={("user", "alice", 30): Decimal(90)}),
    ),
    "processors are shared by time": (request(0, cpu_cores=2 * CPU_SHARES_PER_CORE), [], [], machine(cpu_cores=2), NOTHING),
}


@pytest.mark.parametrize("case", ADMISSIONS.values(), ids=ADMISSIONS)
def test_request_within_every_limit_is_admitted(case):
    wanted, limits, opened, capacity, observed = case
    decision = decided(wanted, limits, opened, capacity, observed)
    assert decision.is_admitted
    assert decision.reasons == ()
    assert len(decision.devices) == wanted.gpus


def test_gpus_are_the_healthy_free_ones_of_the_type_lowest_first():
    capacity = machine("h100", "l4", "h100", "h100", "h100", held=(0,), unhealthy=(2,))
    assert decided(request(2), capacity=capacity).devices == ("GPU-3", "GPU-4")
    shuffled = replace(capacity, devices=capacity.devices[::-1])
    assert decided(request(2), capacity=shuffled).devices == ("GPU-3", "GPU-4")


def test_all_limits_are_told_and_the_one_that_never_fits_wins():
    limits = [user_limit("gpus", 2), user_limit("environments", 1), pool_limit("gpus", 3)]
    opened = [allocation(1, gpus=1), allocation(2, BOB, gpus=2)]
    decision = decided(request(3), limits, opened, machine(*["h100"] * 4, held=(0, 1, 2)))
    assert decision.error_code == "quota_exceeded"
    assert [(r.code, r.scope, r.dimension) for r in decision.reasons] == [
        ("quota_exceeded", "user:alice", "gpus"),
        ("quota_in_use", "user:alice", "environments"),
        ("quota_in_use", "project:vision", "gpus"),
        ("capacity", "machine", "gpus"),
    ]


def test_quota_in_use_comes_before_capacity():
    decision = decided(request(1), [user_limit("gpus", 2)], [allocation(1, gpus=2)], machine("h100", "h100", held=(0, 1)))
    assert decision.error_code == "quota_in_use"


def test_refusal_names_what_holds_the_limit_and_what_to_do():
    opened = [allocation(1, gpus=1, server_name="train"), allocation(2, gpus=1, server_name="")]
    (reason,) = decided(request(1), [user_limit("gpus", 2)], opened).reasons
    assert reason.held_by == ("train", "the default server")
    assert (reason.limit, reason.used, reason.requested) == ("2", "2", "1")
    assert reason.message == "You may hold 2 GPUs at once (tier default); train holds 1 and the default server holds 1, and you ask for 1 GPU more."
    assert reason.remedies == ("Stop train.", "Stop the default server.", "Start without GPUs.", "Ask an administrator for a higher tier.")


def test_other_members_sessions_are_not_named():
    opened = [allocation(1, BOB, gpus=2, server_name="secret-plan"), allocation(2, gpus=1, server_name="mine")]
    (reason,) = decided(request(1), [pool_limit("gpus", 3)], opened).reasons
    assert reason.held_by == ("a session of another member", "mine")
    assert "secret-plan" not in str(reason)
    assert "bob" not in str(reason)
    assert "Stop mine." in reason.remedies


def test_free_gpus_of_another_type_and_a_smaller_count_are_remedies():
    capacity = machine("h100", "h100", "l4", "l4", held=(0,))
    (reason,) = decided(request(2), capacity=capacity, opened=[allocation(1, BOB, gpus=1)]).reasons
    assert reason.message == "This machine can give 2 h100 GPUs, 1 is free now; other users hold 1; you ask for 2 h100 GPUs."
    assert reason.held_by == ("a session of another user",)
    assert reason.remedies == ("Choose 1 GPU.", "Choose the GPU type l4: 2 are free.", "Try again later.")


@pytest.mark.parametrize(("code", "error"), [("quota_exceeded", QuotaExceededError), ("quota_in_use", QuotaInUseError), ("capacity", CapacityError)])
def test_refusal_is_the_error_of_its_code_with_every_reason(code, error):
    case = next(case for case in DENIALS.values() if case[5] == code)
    decision = decided(*case[:5])
    refused = refusal(decision)
    assert type(refused) is error
    assert refused.reasons == decision.reasons
    assert refused.message == decision.reasons[0].message
    assert (refused.retry_after_seconds is not None) == (code == "capacity")


def test_admitted_request_has_no_refusal():
    with pytest.raises(ValueError, match="no refusal"):
        refusal(decided(request(1)))


@pytest.mark.parametrize(
    ("groups", "granted", "tier"),
    [
        ((), None, "default"),
        (("unknown",), None, "default"),
        (("guest",), None, "guest"),
        (("guest", "phd"), None, "premium"),
        (("guest",), "premium", "premium"),
        (("phd",), "guest", "premium"),
        ((), "guest", "guest"),
        ((), "gone", "default"),
    ],
)
def test_tier_is_the_highest_of_groups_and_grant(groups, granted, tier):
    assert tier_of(Caller(1, "alice", frozenset(groups)), CATALOG, granted).name == tier


def test_limits_say_where_they_come_from():
    vision = CATALOG.projects["vision"]
    through_group = limits_for(Caller(1, "alice", frozenset({"staff", "phd"})), vision, CATALOG)
    assert [(limit.owner, limit.source) for limit in through_group] == [("user:alice", "tier premium (group phd)"), ("project:vision", "project vision")]
    (granted,) = limits_for(Caller(1, "alice"), None, CATALOG, "premium", NOW)
    assert granted.source == "tier premium (granted until 2026-03-01T12:00:00.000000Z)"


def test_usage_rows_tell_used_free_and_holders():
    limits = [user_limit("gpus", 2), user_limit("storage_bytes", GIB), pool_limit("gpus", 3), user_limit("gpu_hours", 10, window_days=7)]
    opened = [allocation(1, gpus=1), allocation(2, BOB, gpus=2)]
    rows = usage_against(limits, ALICE, opened, Observed(gpu_hours={("user", "alice", 7): Decimal(12)}))
    assert [(row.used, row.free, row.unit, row.held_by) for row in rows] == [
        (1, 1, "1", ("train-1",)),
        (None, None, "B", ()),
        (3, 0, "1", ("train-1", "a session of another member")),
        (12, 0, "h", ("train-1",)),
    ]
    assert usage_against(limits, ALICE, opened, NOTHING, BOB)[2].held_by == ("train-1", "train-2")


def test_person_the_hub_does_not_know_yet_owns_by_name():
    stranger = Caller(0, "alice")
    assert decided(request(2), [user_limit("gpus", 2)], [allocation(1, gpus=1)], caller=stranger).error_code == "quota_in_use"


types = st.sampled_from(["h100", "l4"])
requests = st.builds(
    request,
    st.integers(0, 4),
    gpu_type=types,
    memory_gib=st.integers(1, 20),
    cpu_cores=st.integers(1, 8),
    project=st.sampled_from(["vision", "personal"]),
    max_hours=st.none() | st.integers(1, 20),
)
limit_rows = st.one_of(
    st.builds(user_limit, st.just("gpus"), st.integers(0, 6), gpu_type=st.none() | types),
    st.builds(pool_limit, st.just("gpus"), st.integers(0, 6), gpu_type=st.none() | types),
    st.builds(user_limit, st.just("environments"), st.integers(0, 6)),
    st.builds(user_limit, st.just("cpu_cores"), st.integers(0, 20)),
    st.builds(pool_limit, st.just("memory_bytes"), st.integers(0, 60).map(lambda gib: gib * GIB)),
    st.builds(user_limit, st.just("storage_bytes"), st.integers(0, 5)),
    st.builds(user_limit, st.just("gpu_hours"), st.integers(0, 40), window_days=st.just(7)),
)
many_limits = st.lists(limit_rows, max_size=4)
observations = st.builds(
    Observed, storage_bytes=st.none() | st.integers(0, 5), gpu_hours=st.fixed_dictionaries({("user", "alice", 7): st.integers(0, 40).map(Decimal)})
)
machines = st.builds(
    lambda gpu_types, memory, cores, unhealthy: machine(*gpu_types, memory_gib=memory, cpu_cores=cores, unhealthy=unhealthy),
    st.lists(types, max_size=6),
    st.integers(1, 80),
    st.integers(1, 4),
    st.sets(st.integers(0, 5), max_size=2),
)


def run(starts, limits, capacity, observed):
    """Decide on one start after the other, each against what the earlier ones hold; return what is open."""
    opened, devices = [], capacity.devices
    for number, (caller, wanted) in enumerate(starts, 1):
        here = replace(capacity, devices=devices)
        decision = decided(wanted, limits, opened, here, observed, caller=caller)
        if decision.is_admitted:
            opened.append(replace(allocation(number, caller), request=wanted, devices=decision.devices))
            devices = tuple(replace(state, held_by=UUID(int=number)) if state.device.uuid in decision.devices else state for state in devices)
    return opened


starts = st.lists(st.tuples(st.sampled_from([ALICE, BOB]), requests), max_size=8)


@given(starts, many_limits, machines, observations)
def test_sums_of_what_was_admitted_stay_within_every_limit(starts, limits, capacity, observed):
    own = [limit for limit in limits if limit.scope == "project"]
    opened = run(starts, own, capacity, observed)
    for limit in own:
        total = sum(amount_of(a.request, limit) for a in opened if a.request.project == limit.subject)
        if limit.dimension in {"gpus", "memory_bytes"}:
            assert total <= limit.amount
    leased = [device for a in opened for device in a.devices]
    assert len(leased) == len(set(leased))
    by_uuid = {state.device.uuid: state.device for state in capacity.devices}
    for a in opened:
        assert len(a.devices) == a.request.gpus
        assert all(by_uuid[uuid].is_healthy and by_uuid[uuid].gpu_type == a.request.gpu_type for uuid in a.devices)
    assert sum(a.request.memory_bytes for a in opened) <= capacity.memory_bytes
    assert sum(a.request.cpu_cores for a in opened) <= capacity.cpu_cores * CPU_SHARES_PER_CORE


@given(st.lists(requests, max_size=8), many_limits, machines, observations)
def test_one_persons_sums_stay_within_their_limits(wanted, limits, capacity, observed):
    opened = run([(ALICE, one) for one in wanted], limits, capacity, observed)
    for limit in limits:
        mine = [a for a in opened if limit.scope == "user" or a.request.project == limit.subject]
        if limit.dimension in {"gpus", "environments", "cpu_cores", "memory_bytes"}:
            assert sum(amount_of(a.request, limit) for a in mine) <= limit.amount


@given(st.tuples(starts, requests), many_limits, machines, observations, st.data())
def test_raising_a_limit_never_adds_a_denial(asked, limits, capacity, observed, data):
    starts, wanted = asked
    opened = run(starts, limits, capacity, observed)
    before = decided(wanted, limits, opened, capacity, observed)
    raised = [replace(limit, amount=limit.amount + data.draw(st.integers(0, 10))) for limit in limits]
    after = decided(wanted, raised, opened, capacity, observed)
    assert after.is_admitted or not before.is_admitted
    assert {(r.scope, r.dimension) for r in after.reasons} <= {(r.scope, r.dimension) for r in before.reasons}


@given(starts, requests, many_limits, machines, observations)
def test_a_denial_always_says_why_and_the_same_inputs_say_the_same(starts, wanted, limits, capacity, observed):
    opened = run(starts, limits, capacity, observed)
    decision = decided(wanted, limits, opened, capacity, observed)
    assert decision == decided(wanted, limits, opened[::-1], capacity, observed)
    assert decision.is_admitted == (not decision.reasons)
    if not decision.is_admitted:
        assert refusal(decision).code == decision.error_code
        assert all(reason.remedies and "None" not in reason.message for reason in decision.reasons)


def test_machine_limits_are_limits_like_others():
    assert FOUR.limits(None)[0] == Limit("machine", "", "memory_bytes", Decimal(256 * GIB), source="this machine")


def test_machine_without_gpus_says_so_and_names_no_type():
    (reason,) = decided(request(1), capacity=machine()).reasons
    assert (reason.code, reason.message) == ("quota_exceeded", "This machine has no GPUs; you ask for 1 GPU.")
    assert "Start without GPUs." in reason.remedies
