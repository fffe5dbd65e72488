"""Minutes of looks, and the points that a chart makes of them: what nobody saw stays unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.series import MINUTE, MOST_POINTS, SPARK_POINTS, joined, minute_of, spark_points, step_of

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION = UUID(int=1)


def test_a_minute_holds_mean_and_most_of_its_looks() -> None:
    minutes: dict = {}
    for percent, memory in ((10, 5), (90, 3), (20, 9)):
        minutes = joined(minutes, SESSION, {"GPU-0": GpuSample(NOON, percent, memory)}, NOON)
    (minute,) = minutes.values()
    assert (minute.samples, minute.mean_utilisation_percent, minute.max_utilisation_percent, minute.max_memory_bytes) == (3, 40, 90, 9)


def test_points_of_the_small_chart_end_with_the_last_whole_minute() -> None:
    now = NOON + timedelta(seconds=59)
    rows = [(NOON - MINUTE, 80.0, 4), (NOON - 2 * MINUTE, 20.0, 2), (NOON - 60 * MINUTE, 7.0, 4), (NOON, 99.0, 4), (NOON - 61 * MINUTE, 99.0, 4)]
    points = spark_points(rows, now)
    assert len(points) == SPARK_POINTS == 30
    assert (points[-1], points[0]) == (60, 7)
    assert points[1:-1] == (None,) * 28


def test_nothing_known_is_no_zero() -> None:
    assert spark_points((), NOON) == (None,) * 30
    assert spark_points([(NOON - MINUTE, 0.0, 4)], NOON)[-1] == 0


@pytest.mark.parametrize(("minutes", "step"), [(0, 1), (1, 1), (MOST_POINTS, 1), (MOST_POINTS + 1, 2), (30 * 24 * 60, 180)])
def test_a_chart_has_not_more_points_than_it_can_show(minutes: int, step: int) -> None:
    assert step_of(MINUTE * minutes) == MINUTE * step


def test_minute_begins_at_its_first_second() -> None:
    assert minute_of(NOON + timedelta(seconds=59, microseconds=999_999)) == NOON
