"""Past sessions become demand: pauses from one end to the next request, office hours by the local clock, nobody's name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from aiplatform_hub.domain.session_history import PastSession, days_between, demand, is_in_office, midnight
from aiplatform_hub.domain.twin import TraceSession

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ran(number, user_id=7, *, asked, started=None, length=1.0, gpus=1, name=None, project="vision"):
    """Return a session; hours since Monday 00:00 UTC."""
    begins = asked if started is None else started
    return PastSession(
        UUID(int=number), user_id, name or f"name{user_id}", project, gpus, MONDAY + asked * HOUR, MONDAY + begins * HOUR, MONDAY + (begins + length) * HOUR
    )


def of(*past, zone=UTC, names=False):
    return demand(past, MONDAY, zone, are_names_kept=names)


def test_a_session_is_asked_for_its_pause_after_the_last_end():
    found = of(ran(1, asked=9, started=10, length=2, gpus=2), ran(2, asked=15, length=0.5, project="text"))
    assert found.sessions == (
        TraceSession("user00", "vision", 0, 9 * 3600, 2, 2 * 3600, 0, is_office_hours=True),
        TraceSession("user00", "text", 1, 3 * 3600, 1, 1800, 0, is_office_hours=True),
    )
    assert (found.users, found.overlapping) == (1, 0)


def test_sessions_that_overlap_come_one_after_the_other_and_are_counted():
    found = of(ran(1, asked=9, length=10), ran(2, asked=10, length=1), ran(3, asked=20, length=1))
    assert [session.think_seconds for session in found.sessions] == [9 * 3600, 0, 3600]
    assert found.overlapping == 1


def test_who_asks_at_the_very_end_does_not_overlap():
    assert of(ran(1, asked=9), ran(2, asked=10)).overlapping == 0


def test_order_is_by_request_whatever_the_order_of_reading():
    past = [ran(number, asked=asked) for number, asked in enumerate((30, 9, 20))]
    assert of(*past) == of(*past[::-1])
    assert [session.sequence for session in of(*past).sessions] == [0, 1, 2]


def test_names_are_replaced_in_order_of_the_first_request():
    past = [ran(1, 7, asked=9), ran(2, 3, asked=8), ran(3, 7, asked=30)]
    assert [(session.user, session.sequence) for session in of(*past).sessions] == [("user00", 0), ("user01", 0), ("user01", 1)]
    assert "name" not in str(of(*past))


def test_names_of_a_crowd_sort_as_they_count():
    past = [ran(number, number, asked=number) for number in range(101)]
    assert [session.user for session in of(*past).sessions][:2] == ["user000", "user001"]
    assert of(*past).sessions[-1].user == "user100"


def test_kept_names_are_the_newest_and_never_those_of_two_people():
    past = [ran(1, 1, asked=1, name="old"), ran(2, 1, asked=5, name="ann"), ran(3, 2, asked=6, name="bob"), ran(4, 3, asked=7, name="bob")]
    assert [session.user for session in of(*past, names=True).sessions] == ["ann", "ann", "bob-2", "bob-3"]


OFFICE = {
    "all inside": ([8, 12, 19.99], True),
    "before 08:00": ([7.99], False),
    "at 20:00": ([20], False),
    "nine of ten": ([12] * 9 + [3], True),
    "eight of ten": ([12] * 8 + [3] * 2, False),
    "on several days": ([9, 33, 57], True),
}


@pytest.mark.parametrize(("hours", "expected"), OFFICE.values(), ids=OFFICE)
def test_light_users_ask_in_office_hours_nearly_always(hours, expected):
    assert is_in_office([MONDAY + each * HOUR for each in hours], UTC) is expected


def test_office_hours_are_those_of_the_zone_in_summer_too():
    berlin = ZoneInfo("Europe/Berlin")
    assert is_in_office([datetime(2026, 1, 5, 7, tzinfo=UTC), datetime(2026, 7, 6, 6, tzinfo=UTC)], berlin)
    assert not is_in_office([datetime(2026, 1, 5, 6, 59, tzinfo=UTC)], berlin)
    assert of(ran(1, asked=19.5), zone=UTC).sessions[0].is_office_hours
    assert not of(ran(1, asked=19.5), zone=berlin).sessions[0].is_office_hours


def test_a_day_begins_at_midnight_of_the_zone():
    tokyo = ZoneInfo("Asia/Tokyo")
    assert midnight(datetime(2026, 3, 2, 16, tzinfo=UTC), tokyo) == datetime(2026, 3, 2, 15, tzinfo=UTC)
    assert midnight(datetime(2026, 3, 2, 14, tzinfo=UTC), tokyo) == datetime(2026, 3, 1, 15, tzinfo=UTC)


@pytest.mark.parametrize(("hours", "days"), [(0, 1), (1, 1), (24, 1), (24.1, 2), (48, 2)])
def test_a_day_that_has_begun_counts(hours, days):
    assert days_between(MONDAY, MONDAY + hours * HOUR) == days
