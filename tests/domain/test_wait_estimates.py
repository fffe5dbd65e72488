"""Estimates of waits: quantiles in order, sooner for who is before, and close to what the planner itself does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner import plan
from aiplatform_hub.domain.policy import DAY_SECONDS, FIFO, HOUR_SECONDS, SHIPPED, Policy
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting
from aiplatform_hub.domain.session_lengths import ENOUGH_SESSIONS, SessionKind, SessionLengths
from aiplatform_hub.domain.wait_draws import DRAWS, Job
from aiplatform_hub.domain.wait_estimates import PLAYED, Forecast, PastRequest, estimates

NOW = 40 * DAY_SECONDS
BOX = (Node("box", "h100", 4),)
PEOPLE = [Person("lab", f"user{number}") for number in range(30)]


def known(*hours, kind=None):
    lengths = SessionLengths()
    for each in hours:
        lengths = lengths.with_finished(kind or SessionKind("somebody", 1), each * HOUR_SECONDS)
    return lengths


def runs(number, gpus=1, *, takeable=None, must_end=None):
    return Running(f"s{number}", PEOPLE[-1 - number], gpus, "box", NOW + HOUR_SECONDS, takeable, must_end_seconds=must_end)


def asks(number, gpus=1, *, waited=0.0, blocked_by="", gpu_type="h100", hours=2.0):
    return Waiting(
        f"q{number}", PEOPLE[number], gpus, gpu_type, NOW - waited * HOUR_SECONDS, hours * HOUR_SECONDS, 3 * hours * HOUR_SECONDS, blocked_by=blocked_by
    )


def forecast(running, waiting, *, lengths=None, policy=FIFO, nodes=BOX, ages=1.0, past=(), ranks=None):
    people = {each.person for each in (*running, *waiting)} | {each.person for each in past}
    line = PlannerInput(NOW, nodes, tuple(running), tuple(waiting), ranks or dict.fromkeys(people, 0), policy)
    kinds = {each.id: SessionKind(each.person.user, each.gpus) for each in (*running, *waiting)}
    return Forecast(line, kinds, {each.id: NOW - ages * HOUR_SECONDS for each in running}, lengths or known(*range(2, 30)), past)


FULL = [runs(number) for number in range(4)]
REQUESTS = st.lists(st.tuples(st.sampled_from([1, 1, 2, 4]), st.floats(0, 60)), min_size=1, max_size=PLAYED + 6)


@settings(max_examples=25, deadline=None)
@given(REQUESTS, st.sampled_from([FIFO, SHIPPED]))
def test_quantiles_are_in_order_and_the_same_twice(requests, policy):
    waiting = [asks(number, gpus, waited=waited) for number, (gpus, waited) in enumerate(requests)]
    found = estimates(forecast(FULL, waiting, policy=policy))
    assert set(found) == {each.id for each in waiting}
    assert all(0 <= each.p10_seconds <= each.p50_seconds <= each.p90_seconds for each in found.values())
    assert found == estimates(forecast(FULL, waiting, policy=policy))


def test_who_is_further_back_in_a_plain_line_waits_longer():
    waiting = [asks(number, waited=50 - number) for number in range(PLAYED + 8)]
    found = estimates(forecast(FULL, waiting))
    in_line = [found[each.id] for each in waiting]
    assert [each.p50_seconds for each in in_line] == sorted(each.p50_seconds for each in in_line)
    assert [each.p90_seconds for each in in_line] == sorted(each.p90_seconds for each in in_line)


def test_nothing_is_waited_for_where_gpus_are_free():
    found = estimates(forecast(FULL[:2], [asks(0), asks(1)]))
    assert {(each.p10_seconds, each.p90_seconds) for each in found.values()} == {(0.0, 0.0)}


def test_what_waits_for_its_owners_limit_or_fits_nowhere_has_no_estimate():
    found = estimates(forecast(FULL, [asks(0, blocked_by="own"), asks(1, 8), asks(2, gpu_type="l4"), asks(3)]))
    assert set(found) == {"q3"}


def test_ends_follow_what_sessions_of_the_kind_lasted():
    short, long = (estimates(forecast([runs(0, 4)], [asks(0)], lengths=known(*([hours] * 20))))["q0"] for hours in (2, 9))
    assert short.p50_seconds == pytest.approx(1 * HOUR_SECONDS)
    assert long.p50_seconds == pytest.approx(8 * HOUR_SECONDS)


def test_remaining_time_is_conditioned_on_age():
    lengths = known(*([2.0] * ENOUGH_SESSIONS), *([20.0] * ENOUGH_SESSIONS))
    assert estimates(forecast([runs(0, 4)], [asks(0)], lengths=lengths, ages=5.0))["q0"].p10_seconds == pytest.approx(15 * HOUR_SECONDS)


def test_session_cap_bounds_the_wait_of_the_more_entitled_only():
    session = runs(0, 4, takeable=NOW + 2 * HOUR_SECONDS)
    ranks = {session.person: 1, PEOPLE[0]: 0}
    lengths = known(*([30.0] * 20))
    entitled = estimates(forecast([session], [asks(0)], lengths=lengths, policy=SHIPPED, ranks=ranks))["q0"]
    equal = estimates(forecast([session], [asks(0)], lengths=lengths, policy=SHIPPED, ranks=dict.fromkeys(ranks, 0)))["q0"]
    assert entitled.p90_seconds == 2 * HOUR_SECONDS
    assert equal.p10_seconds > 20 * HOUR_SECONDS


def test_class_that_begins_ends_what_was_told_to():
    found = estimates(forecast([runs(0, 4, must_end=NOW + 600)], [asks(0)], lengths=known(*([30.0] * 20))))
    assert found["q0"].p90_seconds == 600


def test_idle_session_ends_when_it_may_be_taken():
    session = replace(runs(0, 4, takeable=NOW + 300), expected_end_seconds=NOW + 300)
    assert estimates(forecast([session], [asks(0)], lengths=known(*([30.0] * 20))))["q0"].p50_seconds == 300


def test_few_finished_sessions_are_told_as_not_known():
    assert not estimates(forecast(FULL, [asks(0)], lengths=known(*range(2, 2 + ENOUGH_SESSIONS - 1))))["q0"].is_known
    assert estimates(forecast(FULL, [asks(0)], lengths=known(*range(2, 2 + ENOUGH_SESSIONS))))["q0"].is_known


def test_those_who_came_on_other_days_and_are_more_entitled_come_first():
    past = [PastRequest(NOW - day * DAY_SECONDS + hour * HOUR_SECONDS, PEOPLE[9], SessionKind("user9", 4), "h100") for day in (3, 2, 1) for hour in (0.5, 12)]
    ranks = {PEOPLE[0]: 5, PEOPLE[9]: 0, PEOPLE[-1]: 5}
    given = forecast([runs(0, 4)], [asks(0, 1)], lengths=known(*([4.0] * 20)), policy=replace(SHIPPED, short_queue_fraction=0.0), ranks=ranks, past=past)
    assert estimates(given)["q0"].p50_seconds > 6 * HOUR_SECONDS
    assert estimates(replace(given, past=()))["q0"].p50_seconds == pytest.approx(3 * HOUR_SECONDS)


def test_request_that_comes_later_waits_from_then_on():
    now, later = asks(0, 4), replace(asks(1, 4), requested_seconds=NOW + 2 * HOUR_SECONDS)
    found = estimates(forecast([runs(0, 4)], [now, later], lengths=known(*([4.0] * 20))))
    assert found["q0"].p50_seconds == pytest.approx(3 * HOUR_SECONDS)
    assert found["q1"].p50_seconds == pytest.approx(7 * HOUR_SECONDS)
    alone = estimates(forecast([runs(0, 4)], [replace(later, requested_seconds=NOW + 5 * HOUR_SECONDS)], lengths=known(*([4.0] * 20))))
    assert alone["q1"].after(5 * HOUR_SECONDS).p90_seconds == 0


def test_each_stratum_is_drawn_once():
    job = Job(17, 0, 0, 1, None, False, 0.0, 0.0, 0.0, tuple(map(float, range(DRAWS))))
    assert sorted(job.drawn(draw) for draw in range(DRAWS)) == list(job.lengths)


def test_nobody_waits_nothing_is_estimated():
    assert estimates(forecast(FULL, [])) == {}


def by_the_planner(given: Forecast, length: float) -> dict[str, float]:
    """Return when everybody starts if the planner itself decides at each end, all sessions of one length."""
    line = given.line
    ends = {s.id: max(NOW, given.started_seconds[s.id] + length) for s in line.running}
    running, waiting, now, starts = {s.id: s for s in line.running}, {w.id: w for w in line.waiting}, NOW, {}
    while True:
        held = tuple(replace(s, expected_end_seconds=ends[s.id]) for s in running.values())
        found = plan(replace(line, now_seconds=now, running=held, waiting=tuple(waiting.values())))
        for start in found.starts:
            asked = waiting.pop(start.request_id)
            starts[asked.id], ends[asked.id] = now - NOW, now + length
            running[asked.id] = Running(asked.id, asked.person, asked.gpus, start.node, now + length)
        if not waiting:
            return starts
        now = min(*ends.values(), now + HOUR_SECONDS)
        for id_ in [id_ for id_, end in ends.items() if end <= now]:
            del ends[id_], running[id_]


def near_the_planner(policy: Policy) -> float:
    """Return which part of the starts is within a tenth of the planner's, over many lines."""
    draw, near = random.Random(3), []
    for _ in range(40):
        sizes = draw.choices([1, 2, 4], [6, 2, 1], k=draw.randint(1, PLAYED))
        waiting = [asks(number, size, waited=draw.uniform(0, 5), hours=5 / 3) for number, size in enumerate(sizes)]
        ranks = {person: draw.randint(0, 3) for person in PEOPLE}
        lengths = known(*([5.0] * 20))
        given = forecast(FULL, waiting, policy=policy, lengths=lengths, ranks=ranks)
        started = {session.id: NOW - draw.uniform(0, 4.9) * HOUR_SECONDS for session in FULL}
        given = replace(given, started_seconds=started)
        real, found = by_the_planner(given, 5 * HOUR_SECONDS), estimates(given)
        near += [abs(found[id_].p50_seconds - wait) <= 0.1 * wait + 60 for id_, wait in real.items()]
    return sum(near) / len(near)


@pytest.mark.parametrize(("policy", "least"), [(FIFO, 0.95), (replace(SHIPPED, session_cap_seconds=None), 0.8)])
def test_starts_are_mostly_those_of_the_planner_where_lengths_are_known(policy, least):
    assert near_the_planner(policy) >= least
