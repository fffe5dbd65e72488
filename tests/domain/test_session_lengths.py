"""Finished sessions say how long the running ones will last."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.session_lengths import DEFAULT_SECONDS, ENOUGH_SESSIONS, KEPT_SESSIONS, SessionKind, SessionLengths, learned_seconds

ANA, BEN = SessionKind("ana", 1), SessionKind("ben", 1)


def learned(*sessions):
    known = SessionLengths()
    for kind, seconds in sessions:
        known = known.with_finished(kind, seconds)
    return known


def many(kind, *seconds):
    return [(kind, each) for each in seconds for _ in range(ENOUGH_SESSIONS)]


def test_a_persons_own_sessions_count_once_there_are_enough():
    others = many(BEN, 1000.0) * 3
    few = learned(*others, *many(ANA, 100.0)[1:])
    enough = learned(*others, *many(ANA, 100.0))
    assert few.remaining_seconds(ANA, 0, 0.5) == 1000
    assert enough.remaining_seconds(ANA, 0, 0.5) == 100


def test_template_and_gpu_count_come_before_all_sessions():
    known = learned(*many(SessionKind("ben", 4), 50.0), *many(SessionKind("ben", 1), 900.0) * 2)
    assert known.remaining_seconds(SessionKind("new", 4), 0, 0.5) == 50
    assert known.remaining_seconds(SessionKind("new", 2), 0, 0.5) == 900


def test_only_sessions_that_lasted_longer_count():
    known = learned(*many(ANA, 100.0, 500.0))
    assert known.remaining_seconds(ANA, 100, 0.0) == 400
    assert known.remaining_seconds(ANA, 99, 0.0) == 1


def test_quantiles_are_interpolated():
    known = learned(*[(ANA, float(each)) for each in range(1, 12)])
    assert known.remaining_seconds(ANA, 0, 0.5) == 6
    assert known.remaining_seconds(ANA, 0, 0.05) == pytest.approx(1.5)


def test_a_cap_bounds_what_remains():
    known = learned(*many(ANA, 5000.0))
    assert known.remaining_seconds(ANA, 100, 0.5, cap_seconds=600) == 500
    assert known.remaining_seconds(ANA, 700, 0.5, cap_seconds=600) == 0


def test_without_any_session_a_default_is_assumed():
    assert SessionLengths().remaining_seconds(ANA, 0, 0.5) == DEFAULT_SECONDS


def test_older_than_all_known_lasts_as_long_again():
    known = learned(*many(ANA, 100.0))
    assert known.remaining_seconds(ANA, 10 * DEFAULT_SECONDS, 0.5) == 10 * DEFAULT_SECONDS


TAUGHT = {
    "busy to the end": (100, None, 10, 100),
    "idle for long": (100, 30, 10, 40),
    "left before it could be taken": (35, 30, 10, 35),
    "nothing takes idle sessions": (100, 30, None, 100),
}


@pytest.mark.parametrize(("held", "busy", "idle_after", "taught"), TAUGHT.values(), ids=TAUGHT)
def test_a_finished_session_teaches_until_when_it_was_needed(held, busy, idle_after, taught):
    assert learned_seconds(held, busy, idle_after) == taught


def test_only_the_latest_sessions_count():
    known = learned(*[(ANA, 1.0)] * KEPT_SESSIONS, *[(ANA, 1000.0)] * KEPT_SESSIONS)
    assert known.remaining_seconds(ANA, 0, 0.0) == 1000


def test_learning_leaves_the_old_value_alone():
    before = learned(*many(ANA, 100.0))
    before.with_finished(ANA, 1.0)
    assert before.remaining_seconds(ANA, 0, 0.0) == 100


@given(
    lengths=st.lists(st.floats(1, 1e6), max_size=40),
    age=st.floats(0, 1e6),
    quantiles=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    cap=st.none() | st.floats(0, 1e6),
)
def test_remaining_time_is_never_negative_and_grows_with_the_quantile(lengths, age, quantiles, cap):
    known = learned(*[(ANA, each) for each in lengths])
    low, high = (known.remaining_seconds(ANA, age, quantile, cap) for quantile in sorted(quantiles))
    assert 0 <= low <= high + 1e-6
