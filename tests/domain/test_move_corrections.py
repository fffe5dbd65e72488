"""Moves of sessions take back exactly what was charged, and charge the other project what the session would have cost there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.catalog import RateCard
from aiplatform_hub.domain.charges import charges, total
from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.session_moves import Account, SessionMove, corrections, moved_amounts
from aiplatform_hub.domain.usage import UsageInterval

BEGIN = datetime(2026, 10, 30, 20, tzinfo=UTC)
NIGHTS = OffPeak("Europe/Berlin", Decimal(50), (Window(frozenset(range(1, 8)), time(22), time(6)),))
CARDS = (
    RateCard("first", datetime(2026, 1, 1, tzinfo=UTC), "EUR", {"*": Decimal("3.20")}, Decimal("0.04"), cpu_core_hour=Decimal("0.01")),
    RateCard(
        "second", datetime(2026, 11, 15, tzinfo=UTC), "EUR", {"*": Decimal("3.60")}, Decimal("0.05"), idle_gpu_hour={"*": Decimal(4)}, off_peak=NIGHTS,
        project_discount_percent={"vision": Decimal(10), "nlp": Decimal(25)},
    ),
)  # fmt: skip
PROJECTS = st.sampled_from(["vision", "nlp", "course"])


def metered(project: str, start: datetime, length: timedelta, gpus: int) -> UsageInterval:
    return UsageInterval(
        id=UUID(int=1), allocation_id=UUID(int=2), user_id=1, user_name="ada", project=project, cost_centre=f"of-{project}", environment_template="x",
        gpus=gpus, gpu_type="h100" if gpus else None, memory_bytes=1, cpu_cores=2, started_at=start, ended_at=start + length,
    )  # fmt: skip


def moves_of(interval: UsageInterval, projects: list[str]) -> list[SessionMove]:
    found: list[SessionMove] = []
    for number, project in enumerate(projects, 1):
        source = found[-1].target if found else Account(interval.project, interval.cost_centre)
        end = interval.ended_at or interval.started_at
        found.append(SessionMove(interval.allocation_id, number, source, Account(project, f"of-{project}"), interval.started_at, end, end, "bea", "x"))
    return found


INTERVALS = st.builds(
    metered, PROJECTS, st.integers(0, 40 * 24 * 60).map(lambda minutes: BEGIN + timedelta(minutes=minutes)),
    st.integers(0, 5 * 24 * 3600 * 10**6).map(lambda length: timedelta(microseconds=length)), st.integers(0, 8),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(INTERVALS, st.lists(PROJECTS, max_size=4), st.booleans())
def test_after_any_moves_a_session_costs_what_it_costs_in_its_last_project_and_nothing_elsewhere(interval, projects, is_idle):
    end = interval.ended_at
    idle = ((interval.started_at + timedelta(hours=1), end),) if is_idle and end > interval.started_at + timedelta(hours=1) else ()
    found = [*charges(interval, CARDS, end, idle=idle), *corrections(interval, moves_of(interval, projects), CARDS, end, idle=idle)]
    last = projects[-1] if projects else interval.project
    sums = {}
    for charge in found:
        key = (charge.project, charge.cost_centre, charge.start, charge.sku)
        time_, amount = sums.get(key, (0, Fraction(0)))
        sums[key] = time_ + charge.unit_microseconds, amount + charge.amount
    there = replace(interval, project=last, cost_centre=f"of-{last}")
    wanted = {(c.project, c.cost_centre, c.start, c.sku): (c.unit_microseconds, c.amount) for c in charges(there, CARDS, end, idle=idle)}
    assert {key: value for key, value in sums.items() if value != (0, 0)} == {key: value for key, value in wanted.items() if value != (0, 0)}


@settings(max_examples=30, deadline=None)
@given(INTERVALS, st.lists(PROJECTS, max_size=3))
def test_corrections_are_marked_and_what_was_metered_is_not(interval, projects):
    found = list(corrections(interval, moves_of(interval, projects), CARDS, interval.ended_at))
    assert all(charge.is_correction for charge in found)
    assert len(found) == 2 * len(projects) * len(charges(interval, CARDS, interval.ended_at))
    assert all(interval.started_at <= charge.start < charge.end <= interval.ended_at for charge in found), "dated when the time was used"


def test_a_move_says_what_it_changes_by_month():
    interval = metered("vision", datetime(2026, 11, 30, 12, tzinfo=UTC), timedelta(hours=24), 1)
    amounts = moved_amounts(corrections(interval, moves_of(interval, ["course"]), CARDS, interval.ended_at))
    # until midnight 9 h by day and 3 h at night (Berlin is an hour ahead), then 5 h at night and 7 h by day
    assert [(each.month, each.currency, each.before, each.after) for each in amounts] == [
        ("2026-11", "EUR", Fraction("34.02"), Fraction("37.80")),
        ("2026-12", "EUR", Fraction("30.78"), Fraction("34.20")),
    ]
    assert sum(each.before for each in amounts) == total(charges(interval, CARDS, interval.ended_at))["EUR"]
