"""Only time in which an owner could have said something counts against them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.interest import LONGEST_STEP, TOLERANCE, asking_period, moved, unseen

NOW = datetime(2026, 11, 12, 14, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("wall", "passed", "lost"),
    [
        (SECOND, SECOND, timedelta(0)),
        (LONGEST_STEP, LONGEST_STEP, timedelta(0)),
        (DAY, SECOND, DAY - SECOND),  # the clock jumped
        (DAY, DAY, DAY - LONGEST_STEP),  # nobody looked
        (DAY, None, DAY - LONGEST_STEP),  # no keeper was up
        (30 * SECOND, None, timedelta(0)),  # one took over from another
        (4 * SECOND, SECOND, timedelta(0)),  # the clock was corrected
        (-DAY, SECOND, -DAY - SECOND),
        (-DAY, None, -DAY),
    ],
)
def test_time_that_nobody_saw_pass(wall, passed, lost):
    assert unseen(wall, passed) == lost


@pytest.mark.parametrize(
    ("said_hours", "lost_hours", "hours"),
    [
        (1, 0, 1),
        (20, 0, 20),
        (20, 10, 10),
        (5, 10, 0),  # not before it was said
        (20, 1, 18),  # the period in which they are asked is whole again
        (23.9, 0.01, 18),
        (1, -5, 1),
        (-3, -5, 0),  # said in a future that never was
        (-3, 0, -3),
    ],
)
def test_word_counts_without_that_time(said_hours, lost_hours, hours):
    found = moved(NOW - timedelta(hours=said_hours), NOW, timedelta(hours=lost_hours), DAY)
    assert found == NOW - timedelta(hours=hours)


@given(st.floats(0, 24), st.floats(0.01, 1000), st.floats(1, 1000))
def test_nobody_is_nearer_the_end_and_everybody_has_the_time_to_answer(said_hours, lost_hours, interest_hours):
    interest, said = timedelta(hours=interest_hours), NOW - timedelta(hours=said_hours)
    found = moved(said, NOW, timedelta(hours=lost_hours), interest)
    assert said <= found <= NOW
    assert found + interest - NOW >= asking_period(interest) - TOLERANCE or said_hours == 0


def test_asking_begins_six_hours_before_or_a_quarter():
    assert asking_period(DAY) == timedelta(hours=6)
    assert asking_period(timedelta(hours=8)) == timedelta(hours=2)
    assert asking_period(10 * DAY) == timedelta(hours=6)
