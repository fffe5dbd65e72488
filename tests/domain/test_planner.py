"""One planner decides who starts, who reserves and whose GPUs are asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain import planner
from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner import plan, verdict_on
from aiplatform_hub.domain.policy import FIFO, HOUR_SECONDS, ClassReservation, Policy
from aiplatform_hub.domain.queue_values import Node, PlannerInput, ReasonCode, Running, Verdict, Waiting

NOW = 1_000_000.0
HOUR = HOUR_SECONDS
BOX = (Node("box", "h100", 4),)
POLICY = Policy(short_queue_fraction=0.0)
PEOPLE = {name: Person("lab", name) for name in ("ana", "ben", "cem", "dan", "eva")}
RANKS = {person: rank for rank, person in enumerate(PEOPLE.values())}


def runs(name, gpus, *, left=2.0, takeable=None, node="box", project="lab", idle=False, must_end=None):
    """Return a session with so many hours left, whose GPUs may be taken in so many hours."""
    return Running(
        id=f"run-{name}",
        person=Person(project, name),
        gpus=gpus,
        node=node,
        expected_end_seconds=NOW + left * HOUR,
        takeable_from_seconds=None if takeable is None else NOW + takeable * HOUR,
        is_idle=idle,
        must_end_seconds=must_end,
    )


def asks(name, gpus, *, waited=0.0, lasts=2.0, gpu_type=None, project="lab", blocked_by=""):
    """Return a request that has waited so many hours for a session of so many hours."""
    return Waiting(name, Person(project, name), gpus, gpu_type, NOW - waited * HOUR, lasts * HOUR, lasts * HOUR, blocked_by)


def planned(running=(), waiting=(), *, policy=POLICY, nodes=BOX, ranks=None):
    everybody = {each.person: 9 for each in (*running, *waiting)} | RANKS | (ranks or {})
    return plan(PlannerInput(NOW, nodes, tuple(running), tuple(waiting), everybody, policy))


def started(found):
    return [start.request_id for start in found.starts]


def codes(found):
    return {decision.request_id: decision.code for decision in found.decisions}


def test_nobody_waits_nothing_happens():
    found = planned([runs("ana", 2)])
    assert (found.starts, found.claims, found.reservations, found.decisions) == ((), frozenset(), (), ())


def test_who_fits_starts_in_order_of_entitlement():
    found = planned(waiting=[asks("cem", 2), asks("ana", 2, lasts=9), asks("ben", 2)])
    assert started(found) == ["ana", "ben"]
    assert codes(found)["cem"] is ReasonCode.TAKEN


def test_equals_go_by_expected_use_then_by_submit_time():
    same = dict.fromkeys(PEOPLE.values(), 0)
    waiting = [asks("ana", 1, lasts=5), asks("ben", 1, lasts=1), asks("cem", 1, lasts=1, waited=1)]
    assert [d.request_id for d in planned(waiting=waiting, ranks=same).decisions] == ["cem", "ben", "ana"]
    by_submit = replace(POLICY, is_shortest_first=False)
    assert [d.request_id for d in planned(waiting=[*waiting, asks("dan", 1, waited=2)], ranks=same, policy=by_submit).decisions][:2] == ["dan", "cem"]


def test_submit_order_alone_ignores_entitlement():
    found = planned([runs("x", 3)], [asks("ana", 1), asks("ben", 1, waited=1)], policy=FIFO)
    assert started(found) == ["ben"]


def test_the_longest_comes_first_while_few_wait():
    waiting = [asks("ana", 1, lasts=1), asks("ben", 1, lasts=9)]
    few = replace(POLICY, short_queue_fraction=0.5)
    assert planned(waiting=waiting, policy=few).decisions[0].request_id == "ben"
    assert planned(waiting=[*waiting, asks("cem", 1)], policy=few).decisions[0].request_id == "ana"


def test_overdue_request_comes_before_the_more_entitled():
    waiting = [asks("ana", 1), asks("eva", 1, waited=POLICY.overdue_after_seconds / HOUR)]
    assert started(planned([runs("x", 3)], waiting)) == ["eva"]


RESERVING = [runs("x", 2, left=1), runs("y", 1, left=3)]
PASSING = {
    "ends before it": (asks("ana", 1, lasts=3), True),
    "ends within the slack": (asks("ana", 1, lasts=3.5), True),
    "would delay it": (asks("ana", 1, lasts=3.6), False),
}


@pytest.mark.parametrize(("passing", "may_pass"), PASSING.values(), ids=PASSING)
def test_others_pass_a_whole_node_request_only_without_delaying_it(passing, may_pass):
    found = planned(RESERVING, [passing, asks("eva", 4, waited=5)])
    assert found.reservations[0].request_id == "eva"
    assert found.reservations[0].from_seconds == NOW + 3 * HOUR
    assert codes(found)["eva"] is ReasonCode.RESERVED
    assert (started(found) == ["ana"]) is may_pass
    if not may_pass:
        told = found.decisions[1]
        assert (told.code, told.because_of, told.until_seconds) == (ReasonCode.BEHIND_RESERVATION, ("eva",), NOW + 3 * HOUR)


def test_a_long_session_passes_where_enough_is_left_for_the_reservation():
    found = planned([runs("x", 3, left=1)], [asks("ben", 1, lasts=50), asks("ana", 2, waited=7, lasts=60)], ranks={PEOPLE["ana"]: 0, PEOPLE["ben"]: 1})
    assert found.reservations[0].request_id == "ana"
    assert started(found) == ["ben"]


def test_an_overdue_reservation_reckons_with_what_it_may_take():
    strict = replace(POLICY, takes_from_equals=False)
    holder = replace(runs("x", 3, left=50, takeable=4), person=PEOPLE["ana"])
    found = planned([holder], [asks("eva", 4, waited=60), asks("ana", 1, lasts=30), asks("ben", 1, lasts=4)], policy=strict)
    assert found.reservations[0].from_seconds == NOW + 4 * HOUR
    assert started(found) == ["ben"]


YOUNG = {"a whole node": (asks("ana", 4, waited=1.99), asks("ana", 4, waited=2)), "a part of it": (asks("ana", 2, waited=3.99), asks("ana", 2, waited=4))}


@pytest.mark.parametrize(("young", "old"), YOUNG.values(), ids=YOUNG)
def test_a_young_request_reserves_nothing(young, old):
    holders, passing = [runs("x", 2), runs("y", 1, left=9)], asks("ben", 1, lasts=30)
    assert planned(holders, [young, passing]).reservations == ()
    assert started(planned(holders, [young, passing])) == ["ben"]
    assert [r.request_id for r in planned(holders, [old, passing]).reservations] == ["ana"]


@pytest.mark.parametrize(("waited", "starts"), [(2.5, ["new"]), (3.5, [])])
def test_who_is_put_before_a_reservation_may_take_from_it(waited, starts):
    """So the words of a reservation do not say more: before the whole-node rule counts, a new request of equal share is looked at first."""
    same = dict.fromkeys((*PEOPLE.values(), Person("lab", "new"), Person("lab", "old")), 0)
    never_cheap = replace(POLICY, idle_allowed_gpu_seconds=0.0, idle_allowed_per_second=0.0)
    found = planned([runs("x", 2, left=1)], [asks("old", 4, waited=waited), asks("new", 1, lasts=3)], ranks=same, policy=never_cheap)
    assert codes(found)["old"] is ReasonCode.RESERVED
    assert started(found) == starts


def test_reservation_reckons_with_the_session_cap():
    found = planned([runs("x", 4, left=50, takeable=1)], [asks("ana", 4, waited=5)])
    assert found.reservations[0].from_seconds == NOW + HOUR


def test_reservation_is_made_on_the_node_that_is_free_first():
    nodes = (Node("n1", "h100", 4), Node("n2", "h100", 4))
    found = planned([runs("x", 4, node="n1", left=9), runs("y", 4, node="n2", left=3)], [asks("ana", 4, waited=5)], nodes=nodes)
    assert found.reservations[0].node == "n2"


def test_a_reservation_holds_up_its_own_node_only():
    nodes = (Node("n1", "h100", 4), Node("n2", "h100", 2))
    found = planned([runs("x", 3, node="n1"), runs("y", 1, node="n2", left=9)], [asks("ana", 4, waited=5), asks("ben", 1, lasts=90)], nodes=nodes)
    assert [(s.request_id, s.node) for s in found.starts] == [("ben", "n2")]


def test_a_whole_node_that_stays_idle_for_little_comes_first_at_once():
    waiting = [asks("ana", 1), asks("eva", 4)]
    assert planned([runs("x", 4, idle=True, takeable=-1)], waiting).decisions[0].request_id == "eva"
    assert planned([runs("x", 1, left=9)], waiting).decisions[0].request_id == "ana"


def test_without_backfill_nobody_passes_on_the_same_node():
    strict = replace(POLICY, backfill=False, project_limits={"full": 0})
    nodes = (*BOX, Node("small", "h100", 1))
    waiting = [asks("ana", 2), asks("ben", 1), asks("cem", 1)]
    found = planned([runs("x", 3)], waiting, policy=strict, nodes=nodes)
    assert [(start.request_id, start.node) for start in found.starts] == [("ben", "small")]
    assert (found.decisions[2].code, found.decisions[2].because_of) == (ReasonCode.BEHIND_RESERVATION, ("ana",))
    refused = planned(waiting=[asks("ana", 4, project="full"), asks("ben", 1)], policy=strict, ranks={Person("full", "ana"): 0})
    assert started(refused) == ["ben"]


def test_all_gpus_of_a_session_are_on_one_node_of_its_type():
    nodes = (Node("n1", "h100", 2), Node("n2", "h100", 2), Node("n3", "l4", 8))
    found = planned(waiting=[asks("ana", 4, gpu_type="h100"), asks("ben", 2, gpu_type="h100"), asks("cem", 4)], nodes=nodes)
    assert codes(found)["ana"] is ReasonCode.NEVER_FITS
    assert {s.request_id: s.node for s in found.starts} == {"ben": "n1", "cem": "n3"}


def test_the_fullest_node_that_fits_is_taken():
    nodes = (Node("n1", "h100", 4), Node("n2", "h100", 4))
    found = planned([runs("x", 2, node="n2")], [asks("ana", 1)], nodes=nodes)
    assert found.starts[0].node == "n2"


# What is taken back


def test_gpus_are_claimed_only_as_far_as_somebody_needs_them():
    holders = [runs("x", 1, takeable=-1), runs("y", 1, takeable=-2), runs("z", 2, takeable=-3)]
    found = planned(holders, [asks("ana", 2)], ranks={Person("lab", "z"): 20})
    assert found.claims == {"run-z"}
    assert (found.decisions[0].code, found.decisions[0].because_of) == (ReasonCode.RELEASE, ("run-z",))


def test_nothing_is_claimed_that_does_not_let_anybody_start():
    found = planned([runs("x", 1, takeable=-1), runs("y", 3)], [asks("ana", 2)])
    assert found.claims == frozenset()


def test_idle_sessions_go_first_and_as_soon_as_anybody_waits():
    found = planned([runs("x", 1, takeable=-5), runs("y", 1, idle=True, takeable=0), runs("z", 2)], [asks("ana", 1)])
    assert found.claims == {"run-y"}
    waits_for_more = planned([runs("y", 1, idle=True, takeable=0), runs("z", 3)], [asks("ana", 2)])
    assert waits_for_more.claims == {"run-y"}


def test_idle_sessions_stay_for_requests_that_may_not_start():
    found = planned([runs("y", 4, idle=True, takeable=0)], [asks("ana", 1, blocked_by="your project is closed")])
    assert found.claims == frozenset()


def test_a_session_that_may_not_be_taken_yet_stays():
    assert planned([runs("x", 4, takeable=0.1)], [asks("ana", 1)]).claims == frozenset()


def test_claimed_gpus_are_promised_once():
    found = planned([runs("x", 2, takeable=-1), runs("y", 2)], [asks("ana", 2), asks("ben", 1)])
    assert found.claims == {"run-x"}
    assert codes(found) == {"ana": ReasonCode.RELEASE, "ben": ReasonCode.TAKEN}


def test_what_a_claimed_session_leaves_over_starts_nobody_before_it_is_gone():
    found = planned([runs("x", 4, takeable=-1)], [asks("ana", 3), asks("ben", 1)])
    assert (found.starts, found.claims) == ((), {"run-x"})
    assert set(codes(found).values()) == {ReasonCode.RELEASE}


def test_busy_sessions_make_room_for_the_more_entitled_only_where_the_policy_says_so():
    strict = replace(POLICY, takes_from_equals=False)
    holder = replace(runs("x", 4, takeable=-1), person=PEOPLE["ben"])
    assert planned([holder], [asks("cem", 1)], policy=strict).claims == frozenset()
    assert planned([holder], [asks("ana", 1)], policy=strict).claims == {"run-x"}
    assert planned([holder], [asks("cem", 1, waited=100)], policy=strict).claims == {"run-x"}


# Limits and classes


def test_a_project_at_its_limit_waits_and_holds_up_nobody():
    policy = replace(POLICY, project_limits={"lab": 2})
    found = planned([runs("x", 2)], [asks("ana", 1, waited=90), asks("ben", 2, project="other", lasts=99)], policy=policy)
    assert (codes(found)["ana"], started(found)) == (ReasonCode.PROJECT_LIMIT, ["ben"])
    assert found.reservations == ()


def test_starts_of_one_plan_count_towards_the_project_limit():
    policy = replace(POLICY, project_limits={"lab": 3})
    assert started(planned(waiting=[asks("ana", 2), asks("ben", 2), asks("cem", 1)], policy=policy, ranks={PEOPLE["ana"]: -1})) != []
    total = sum({"ana": 2, "ben": 2, "cem": 1}[name] for name in started(planned(waiting=[asks("ana", 2), asks("ben", 2), asks("cem", 1)], policy=policy)))
    assert total == 3


def test_blocked_requests_keep_their_reason_and_hold_up_nobody():
    found = planned([runs("x", 3)], [asks("ana", 1, waited=99, blocked_by="quota in use"), asks("ben", 1)])
    assert (found.decisions[0].code, found.decisions[0].because_of) == (ReasonCode.BLOCKED, ("quota in use",))
    assert started(found) == ["ben"]


def course(begins, ends, gpus=2):
    return replace(POLICY, reservations=(ClassReservation("course", gpus, "h100", NOW + begins * HOUR, NOW + ends * HOUR),))


def test_gpus_of_a_class_are_kept_free_while_it_runs():
    policy = course(-1, 1)
    found = planned(waiting=[asks("ana", 3), asks("ben", 2, waited=1)], policy=policy)
    assert started(found) == ["ben"]
    told = found.decisions[0]
    assert (told.request_id, told.code, told.until_seconds) == ("ana", ReasonCode.CLASS, NOW + HOUR)
    assert started(planned(waiting=[asks("ana", 2, project="course"), asks("ben", 2)], policy=policy)) == ["ben", "ana"]


def test_what_the_class_holds_is_not_kept_a_second_time():
    found = planned([runs("x", 2, project="course")], [asks("ana", 2)], policy=course(-1, 1))
    assert started(found) == ["ana"]


def test_sessions_that_would_run_into_a_class_are_told_when_they_end():
    found = planned(waiting=[asks("ana", 3)], policy=course(3, 5))
    assert found.starts[0].must_end_seconds == NOW + 3 * HOUR
    beside = planned(waiting=[asks("ana", 2)], policy=course(3, 5))
    assert beside.starts[0].must_end_seconds is None
    member = planned(waiting=[asks("ana", 3, project="course")], policy=course(3, 5))
    assert member.starts[0].must_end_seconds is None


def test_sessions_that_need_not_end_use_up_what_is_beside_the_class():
    staying = planned([runs("x", 2)], [asks("ana", 1)], policy=course(3, 5))
    assert staying.starts[0].must_end_seconds == NOW + 3 * HOUR
    leaving = planned([runs("x", 2, must_end=NOW + 3 * HOUR)], [asks("ana", 1)], policy=course(3, 5))
    assert leaving.starts[0].must_end_seconds is None


def test_nobody_starts_who_would_have_to_end_within_the_guaranteed_minimum():
    found = planned(waiting=[asks("ana", 3)], policy=course(0.4, 5))
    assert (found.starts, codes(found)["ana"]) == ((), ReasonCode.CLASS)
    assert started(planned(waiting=[asks("ana", 3)], policy=course(0.5, 5))) == ["ana"]


def test_a_reservation_never_holds_up_the_class():
    found = planned([runs("x", 1)], [asks("eva", 4, waited=90), asks("ana", 2, project="course", lasts=50)], policy=course(-1, 1))
    assert started(found) == ["ana"]


# Properties

hours = st.floats(0, 100)
sessions = st.builds(
    lambda number, gpus, node, left, takeable, idle: runs(f"p{number}", gpus, left=left, takeable=-1 if idle else takeable, node=node, idle=idle),
    st.integers(0, 9),
    st.integers(1, 4),
    st.sampled_from(["n1", "n2"]),
    hours,
    st.none() | st.floats(-9, 9),
    st.booleans(),
)
requests = st.lists(
    st.builds(asks, st.sampled_from("abcdefgh"), st.integers(1, 5), waited=hours, lasts=hours, project=st.sampled_from(["lab", "other", "course"])),
    max_size=8,
    unique_by=lambda request: request.id,
)
policies = st.builds(
    Policy,
    project_limits=st.sampled_from([{}, {"lab": 2}, {"lab": 0, "other": 3}]),
    reservations=st.sampled_from(
        [(), (ClassReservation("course", 3, "h100", NOW - 1, NOW + 9),), (ClassReservation("course", 3, None, NOW + HOUR, NOW + 9 * HOUR),)]
    ),
    takes_from_equals=st.booleans(),
    short_queue_fraction=st.sampled_from([0.0, 0.75]),
)
TWO = (Node("n1", "h100", 4), Node("n2", "h100", 4))


def fitting(found):
    """Return the sessions as far as two nodes can hold them."""
    kept, used = [], {"n1": 0, "n2": 0}
    for number, session in enumerate(found):
        if used[session.node] + session.gpus <= 4:
            used[session.node] += session.gpus
            kept.append(replace(session, id=f"{session.id}-{number}"))
    return kept


@settings(max_examples=150, deadline=None)
@given(running=st.lists(sessions, max_size=8).map(fitting), waiting=requests, policy=policies)
def test_no_plan_breaks_capacity_project_limits_or_a_class(running, waiting, policy):
    found = planned(running, waiting, policy=policy, nodes=TWO)
    asked = {request.id: request for request in waiting}
    for node in TWO:
        held = sum(session.gpus for session in running if session.node == node.name)
        assert held + sum(asked[start.request_id].gpus for start in found.starts if start.node == node.name) <= node.gpus
    for project, limit in policy.project_limits.items():
        new = sum(asked[start.request_id].gpus for start in found.starts if asked[start.request_id].person.project == project)
        assert new == 0 or new + sum(s.gpus for s in running if s.person.project == project and s.id not in found.claims) <= limit
    outsiders = [start for start in found.starts if asked[start.request_id].person.project != "course"]
    if policy.reservations and policy.reservations[0].start_seconds < NOW and outsiders:
        held = sum(s.gpus for s in running if s.person.project != "course" and s.id not in found.claims)
        assert held + sum(asked[start.request_id].gpus for start in outsiders) <= 8 - 3
    assert sorted(d.request_id for d in found.decisions) == sorted(asked)
    assert [d.position for d in found.decisions] == list(range(1, len(waiting) + 1))
    by_id = {session.id: session for session in running}
    assert all(by_id[each].takeable_from_seconds <= NOW for each in found.claims)


@settings(max_examples=50, deadline=None)
@given(running=st.lists(sessions, max_size=8).map(fitting), waiting=requests, policy=policies)
def test_planning_twice_gives_the_same(running, waiting, policy):
    assert planned(running, waiting, policy=policy, nodes=TWO) == planned(running[::-1], waiting[::-1], policy=policy, nodes=TWO)


@settings(max_examples=150, deadline=None)
@given(running=st.lists(sessions, max_size=8).map(fitting), waiting=requests, policy=policies)
def test_a_verdict_on_one_request_is_what_the_whole_plan_says(running, waiting, policy):
    everybody = {each.person: number % 3 for number, each in enumerate((*running, *waiting))}
    line = PlannerInput(NOW, TWO, tuple(running), tuple(waiting), everybody, policy)
    found = plan(line)
    for request in waiting:
        assert verdict_on(line, request.id) == found.verdict_on(request.id)
    assert verdict_on(line, "nobody") == found.verdict_on("nobody") == Verdict()


def test_a_verdict_looks_no_further_than_it_has_to(monkeypatch):
    tried = []
    decide = planner._Planning._decide
    monkeypatch.setattr(planner._Planning, "_decide", lambda self, request: tried.append(request.id) or decide(self, request))
    waiting = [asks(f"user{number}", 2, waited=9 - number / 1000) for number in range(1000)]
    line = PlannerInput(NOW, BOX, (), (*waiting, asks("new", 1)), {each.person: 1 for each in waiting} | {Person("lab", "new"): 2}, POLICY)
    assert verdict_on(line, "new") == Verdict(code=ReasonCode.TAKEN)
    assert tried == ["user0", "user1"], "two of 2 GPUs take all four"


# Nodes that an autoscaler has yet to start

COMING = Node("new+0", "h100", 4, is_yet_to_start=True)


def test_what_fits_a_running_node_starts_no_other_one():
    nodes = (COMING, Node("run", "h100", 8))
    found = planned([runs("x", 1, node="run")], [asks("ana", 1), asks("ben", 4)], nodes=nodes)
    assert {start.request_id: start.node for start in found.starts} == {"ana": "run", "ben": "run"}


def test_what_fits_nowhere_that_runs_starts_a_node():
    found = planned([runs("x", 3)], [asks("ana", 1), asks("ben", 2)], nodes=(COMING, *BOX))
    assert {start.request_id: start.node for start in found.starts} == {"ana": "box", "ben": "new+0"}


@pytest.mark.parametrize("unused", [{"idle": True}, {"is_ending": True}])
def test_gpus_that_nobody_uses_or_that_come_free_at_once_go_before_a_new_node(unused):
    is_ending = unused.pop("is_ending", False)
    held = replace(runs("x", 4, takeable=-1, **unused), is_ending=is_ending)
    found = planned([held], [asks("ana", 2)], nodes=(COMING, *BOX))
    assert (found.starts, found.decisions[0].code, found.claims) == ((), ReasonCode.RELEASE, {"run-x"})


def test_nobodys_work_is_cut_while_a_node_could_start():
    found = planned([runs("x", 4, takeable=-1)], [asks("ana", 2)], nodes=(COMING, *BOX))
    assert ([start.node for start in found.starts], found.claims) == (["new+0"], frozenset())


@pytest.mark.parametrize("idle", [True, False])
def test_nothing_is_taken_while_another_node_has_room(idle):
    nodes = (Node("n1", "h100", 4), Node("n2", "h100", 4))
    found = planned([runs("x", 4, node="n1", takeable=-1, idle=idle)], [asks("ana", 2)], nodes=nodes)
    assert ([start.node for start in found.starts], found.claims) == (["n2"], frozenset())
