"""Who sees an announcement when, and which starts a maintenance window concerns."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aiplatform_hub.domain.announcements import AHEAD, Announcement, Draft, Level, faults, in_the_way, is_shown, shown

NOON = datetime(2026, 11, 12, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = Announcement(id=1, text="x", level=Level.INFO, starts_at=NOON, ends_at=NOON + HOUR, created_by="boss", created_at=NOON)
WINDOW = replace(ONE, id=2, is_maintenance=True, starts_at=NOON + 5 * HOUR, ends_at=NOON + 6 * HOUR)


@pytest.mark.parametrize(("minutes", "is_seen"), [(-1, False), (0, True), (59, True), (60, False)])
def test_it_is_seen_from_its_begin_and_not_at_its_end(minutes: int, is_seen: bool) -> None:
    assert is_shown(ONE, NOON + timedelta(minutes=minutes)) is is_seen


def test_maintenance_is_seen_ahead_and_what_is_withdrawn_never() -> None:
    assert is_shown(WINDOW, WINDOW.starts_at - AHEAD)
    assert not is_shown(WINDOW, WINDOW.starts_at - AHEAD - HOUR)
    assert not is_shown(replace(WINDOW, withdrawn_at=NOON), WINDOW.starts_at)


def test_the_most_urgent_is_first() -> None:
    ones = [replace(ONE, id=number, level=level) for number, level in enumerate((Level.INFO, Level.CRITICAL, Level.WARNING))]
    assert [one.level.value for one in shown(ones, NOON)] == ["critical", "warning", "info"]


@pytest.mark.parametrize(
    ("planned_hours", "is_told"), [(5, False), (5.01, True), (100, True), (None, True)], ids=["ends as it begins", "reaches into it", "passes it", "no plan"]
)
def test_start_that_reaches_into_a_window_is_told(planned_hours: float | None, is_told: bool) -> None:
    end = None if planned_hours is None else NOON + planned_hours * HOUR
    assert bool(in_the_way([ONE, WINDOW], NOON, end)) is is_told


def test_start_without_a_plan_is_not_told_of_a_window_far_away_nor_any_of_one_that_is_over() -> None:
    far = replace(WINDOW, starts_at=NOON + 24 * HOUR, ends_at=NOON + 25 * HOUR)
    assert in_the_way([far], NOON, None) == ()
    assert in_the_way([WINDOW], WINDOW.ends_at, None) == ()
    assert in_the_way([replace(WINDOW, withdrawn_at=NOON)], NOON, None) == ()


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, []),
        ({"text": " \n"}, ["text"]),
        ({"text": "x" * 501}, ["text"]),
        ({"text": "x" * 500}, []),
        ({"ends_at": NOON}, ["ends_at"]),
        ({"starts_at": NOON - 2 * HOUR, "ends_at": NOON - HOUR}, ["ends_at"]),
        ({"ends_at": NOON + timedelta(days=367)}, ["ends_at"]),
        ({"text": "", "ends_at": NOON - HOUR}, ["text", "ends_at"]),
    ],
)
def test_every_fault_of_a_draft_is_named(change: dict[str, object], fields: list[str]) -> None:
    draft = replace(Draft(text="x", level=Level.INFO, starts_at=NOON, ends_at=NOON + HOUR), **change)  # type: ignore[arg-type]
    assert [reason.field for reason in faults(draft, NOON)] == fields
