"""The twin runs planner, fair share and release rules on a trace, and scores what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.policy import DAY_SECONDS, FAIR_SHARE_ONLY, FIFO, HOUR_SECONDS, SHIPPED, ClassReservation
from aiplatform_hub.domain.twin import EventKind, Percentiles, Trace, TraceSession, Wait, mean_scores, simulate
from aiplatform_hub.domain.twin.people import office_time
from aiplatform_hub.domain.twin.result import percentiles, quantile
from tests.support.lab_traces import lab_trace

HOUR = HOUR_SECONDS


def wants(user, *, gpus=1, think=0.0, work=1.0, idle=0.0, sequence=0, office=False, project=None):
    """Return a session; lengths in hours."""
    return TraceSession(user, project or f"lab-{user}", sequence, think * HOUR, gpus, work * HOUR, idle * HOUR, office)


def trace(*sessions, days=2.0, gpus=4):
    return Trace("made", gpus, days * DAY_SECONDS, tuple(sessions))


def happened(result, *kinds):
    return [(event.user, event.at_seconds / HOUR) for event in result.events if event.kind in kinds]


OFFICE = {
    "before 08:00": (7.99, 8),
    "at 08:00": (8, 8),
    "in the day": (13.5, 13.5),
    "one second before 20:00": (20 - 1 / 3600, 20 - 1 / 3600),
    "at 20:00": (20, 32),
}


@pytest.mark.parametrize(("asked", "moved"), OFFICE.values(), ids=OFFICE)
def test_office_hours_move_a_request_to_the_next_morning(asked, moved):
    assert office_time(asked * HOUR) == pytest.approx(moved * HOUR)
    assert office_time((asked + 24) * HOUR) == pytest.approx((moved + 24) * HOUR)


def test_light_people_ask_in_office_hours_only():
    asked = simulate(trace(wants("ana", think=3, office=True), wants("ben", think=3)), FIFO)
    assert happened(asked, EventKind.REQUESTED) == [("ben", 3), ("ana", 8)]


def test_the_next_session_is_asked_for_after_the_last_has_ended():
    result = simulate(trace(wants("ana", think=1, work=2, idle=1), wants("ana", sequence=1, think=3)), FIFO)
    assert happened(result, EventKind.REQUESTED) == [("ana", 1), ("ana", 7)]


def test_a_session_without_release_lasts_as_long_as_its_owner_stays():
    result = simulate(trace(wants("ana", gpus=2, work=2, idle=10)), FIFO)
    assert happened(result, EventKind.ENDED) == [("ana", 12)]
    assert result.occupancy_fraction == pytest.approx(2 * 12 / (4 * 48))
    assert result.useful_fraction == pytest.approx(2 * 2 / (4 * 48))
    assert result.share_by_user["ana"].gpu_seconds_served == pytest.approx(24 * HOUR)


def test_an_idle_session_goes_after_ten_minutes_when_somebody_waits():
    result = simulate(trace(wants("ana", gpus=4, work=2, idle=10), wants("ben", think=1)), SHIPPED)
    assert happened(result, EventKind.RELEASED_IDLE) == [("ana", pytest.approx(2 + 1 / 6))]
    assert result.waits[1].wait_seconds == pytest.approx((1 + 1 / 6) * HOUR)
    assert result.cut_work_fraction == 0


def test_an_idle_session_stays_while_nobody_waits():
    result = simulate(trace(wants("ana", gpus=4, work=2, idle=10), wants("ben", think=9)), SHIPPED)
    assert happened(result, EventKind.RELEASED_IDLE) == [("ana", 9)]
    assert result.waits[1].wait_seconds == 0


def test_a_policy_that_acts_always_releases_while_nobody_waits():
    always = replace(SHIPPED, acts_only_while_somebody_waits=False)
    result = simulate(trace(wants("ana", work=2, idle=10)), always)
    assert happened(result, EventKind.RELEASED_IDLE) == [("ana", pytest.approx(2 + 1 / 6))]


def test_a_cap_cuts_work_only_for_somebody_who_waits():
    result = simulate(trace(wants("ana", gpus=4, work=20), wants("ben", think=1)), SHIPPED)
    assert happened(result, EventKind.RELEASED_CAP) == [("ana", 6)]
    assert result.waits[1].wait_seconds == 5 * HOUR
    assert result.cut_work_fraction == pytest.approx(4 * 14 / (4 * 20 + 1))
    alone = simulate(trace(wants("ana", gpus=4, work=20)), SHIPPED)
    assert happened(alone, EventKind.ENDED) == [("ana", 20)]


def test_a_class_ends_sessions_that_were_told_so():
    reserved = replace(SHIPPED, reservations=(ClassReservation("course", 3, None, 10 * HOUR, 12 * HOUR),))
    result = simulate(trace(wants("ana", gpus=2, think=7, work=20), wants("ben", gpus=3, think=11, work=1, project="course")), reserved)
    assert happened(result, EventKind.RELEASED_CLASS) == [("ana", 10)]
    assert happened(result, EventKind.STARTED)[1] == ("ben", 11)


def test_who_waits_at_the_end_counts_with_the_wait_so_far():
    result = simulate(trace(wants("ana", gpus=4, work=100), wants("ben", think=47)), FIFO)
    assert result.waits[1] == Wait("ben", "lab-ben", 1, is_light=False, requested_seconds=47 * HOUR, wait_seconds=HOUR, is_still_waiting=True)
    assert result.useful_fraction == pytest.approx(1)


def test_quantiles_of_waits_are_interpolated():
    assert quantile([0.0, 10.0], 0.95) == pytest.approx(9.5)
    assert quantile([7.0], 0.5) == 7
    waits = [Wait("a", "p", 1, True, 0, hours * HOUR) for hours in (4, 1, 3, 2)]
    assert percentiles(waits) == Percentiles(p50=2.5, p95=pytest.approx(3.85))
    assert percentiles([]) is None


def test_means_leave_out_traces_without_such_requests():
    with_four = simulate(trace(wants("ana", gpus=4), wants("ben", gpus=4, think=0.5)), FIFO).scores
    without = simulate(trace(wants("ana")), FIFO).scores
    assert mean_scores([with_four, without]).four_gpu_wait_hours == with_four.four_gpu_wait_hours
    assert mean_scores([with_four, without]).useful_fraction == pytest.approx((with_four.useful_fraction + without.useful_fraction) / 2)
    assert without.light_wait_hours is None


def test_a_lab_gets_more_done_and_waits_less_with_the_shipped_policy():
    week = lab_trace(1, days=7)
    fifo, shipped = simulate(week, FIFO).scores, simulate(week, SHIPPED).scores
    assert shipped.useful_fraction > fifo.useful_fraction + 0.2
    assert shipped.light_wait_hours.p95 < fifo.light_wait_hours.p95 / 2
    assert shipped.four_gpu_wait_hours.p95 < 24


def test_the_same_trace_gives_the_same_twice():
    week = lab_trace(2, days=3)
    assert simulate(week, SHIPPED) == simulate(replace(week, sessions=week.sessions[::-1]), SHIPPED)


@pytest.mark.parametrize("policy", [FIFO, FAIR_SHARE_ONLY, SHIPPED], ids=["fifo", "fair share only", "shipped"])
def test_no_more_gpus_are_held_than_there_are(policy):
    held = 0
    for event in simulate(lab_trace(3, days=4), policy).events:
        held += {EventKind.REQUESTED: 0, EventKind.STARTED: event.gpus}.get(event.kind, -event.gpus)
        assert 0 <= held <= 4


def test_a_busy_session_is_never_stopped_before_six_hours_nor_an_idle_one_before_ten_minutes():
    week = lab_trace(4, days=7)
    of = {(session.user, session.sequence): session for session in week.sessions}
    started = {}
    for event in simulate(week, SHIPPED).events:
        key = (event.user, event.sequence)
        if event.kind is EventKind.STARTED:
            started[key] = event.at_seconds
        elif event.kind is EventKind.RELEASED_CAP:
            assert event.at_seconds - started[key] >= 6 * HOUR
        elif event.kind is EventKind.RELEASED_IDLE:
            assert event.at_seconds - started[key] - of[key].work_seconds >= 600 - 1e-6


crowds = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0, 3), st.floats(0.1, 30), st.floats(0, 9)),
    min_size=20,
    max_size=90,
)


@settings(max_examples=25, deadline=None)
@given(crowd=crowds, shares=st.sampled_from([1.0, 3.0]), equals=st.booleans())
def test_with_bounded_sessions_every_request_starts_in_bounded_time(crowd, shares, equals):
    """Six people never stop asking; whoever waits is overdue in two days, and before each older request at most one cap passes."""
    sessions = [
        wants(f"u{number % 6}", gpus=gpus, think=think, work=work, idle=idle, sequence=number // 6, project=f"lab{number % 2}")
        for number, (gpus, think, work, idle) in enumerate(crowd)
    ]
    policy = replace(SHIPPED, level_ratio=shares, takes_from_equals=equals)
    result = simulate(trace(*sessions, days=60), policy)
    bound = SHIPPED.overdue_after_seconds + 7 * SHIPPED.session_cap_seconds
    assert max(wait.wait_seconds for wait in result.waits) <= bound


@pytest.mark.parametrize("seed", range(3))
def test_a_stream_of_small_requests_never_starves_a_whole_box(seed):
    small = [wants(f"s{user}", think=0.01, work=2 + (user * 7 + each * 3 + seed * 5) % 11 / 2.7, sequence=each) for user in range(8) for each in range(60)]
    result = simulate(trace(*small, wants("big", gpus=4, think=3, work=1), days=6), SHIPPED)
    (wait,) = [wait for wait in result.waits if wait.user == "big"]
    assert not wait.is_still_waiting
    assert wait.wait_seconds <= SHIPPED.whole_node_first_after_seconds + 2 * SHIPPED.session_cap_seconds
    unreserved = replace(SHIPPED, reserve_after_seconds=None, reserve_part_after_seconds=None, whole_node_first_after_seconds=None, overdue_after_seconds=None)
    starved = simulate(trace(*small, wants("big", gpus=4, think=3, work=1), days=6), unreserved)
    assert [wait.is_still_waiting for wait in starved.waits if wait.user == "big"] == [True]
