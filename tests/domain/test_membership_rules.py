"""Who belongs to a project from when until when: half-open spans, and what a launch makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from domain_values import CATALOG, NOW
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.catalog import Project
from aiplatform_hub.domain.memberships import Membership, projects_by_user
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import ProfileForbiddenError

HOUR = timedelta(hours=1)
TERM = Membership(UUID(int=1), "ada", "scans", NOW, NOW + HOUR, "a term", "bea", NOW)
WITH_SCANS = replace(CATALOG, projects={**CATALOG.projects, "scans": Project("scans", "Scans", next(iter(CATALOG.cost_centres)))})
HOURS = st.integers(-5, 5).map(lambda hours: NOW + hours * HOUR)
SPANS = st.builds(
    lambda start, length, cut: replace(TERM, starts_at=start, ends_at=None if length is None else start + length * HOUR, ended_at=cut),
    HOURS, st.none() | st.integers(1, 5), st.none() | HOURS,
)  # fmt: skip


@pytest.mark.parametrize(("at", "counts"), [(NOW - HOUR, False), (NOW, True), (NOW + HOUR - timedelta.resolution, True), (NOW + HOUR, False)])
def test_it_counts_from_its_begin_until_before_its_end(at, counts):
    assert TERM.counts_at(at) is counts
    assert projects_by_user([TERM], at) == ({"ada": {"scans"}} if counts else {})


@given(SPANS, SPANS)
def test_two_overlap_exactly_when_both_count_at_some_instant(one, other):
    instants = [NOW + minutes * timedelta(minutes=30) for minutes in range(-12, 24)]
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(other) == any(one.counts_at(at) and other.counts_at(at) for at in instants)
    assert not one.overlaps(replace(other, project="vision"))
    assert not one.overlaps(replace(other, user_name="bob"))


@given(SPANS, HOURS)
def test_what_is_over_counts_neither_now_nor_later(one, now):
    later = [now + minutes * timedelta(minutes=30) for minutes in range(40)]
    assert one.is_over(now) == (not any(one.counts_at(at) for at in later))


def test_a_member_may_launch_in_the_project_and_it_is_taken_where_none_is_named():
    options = {"environment_template": "jupyterlab", "project": "scans"}
    member = Caller(3, "carol", projects=frozenset({"scans"}))
    assert resolve(options, catalog=WITH_SCANS, caller=member).project == "scans"
    assert resolve({"environment_template": "jupyterlab"}, catalog=WITH_SCANS, caller=member).project == "scans"
    with pytest.raises(ProfileForbiddenError, match="not a member of the project scans"):
        resolve(options, catalog=WITH_SCANS, caller=replace(member, projects=frozenset()))
    assert [p.name for p in WITH_SCANS.projects_of(frozenset(), frozenset({"scans", "gone"})) if not p.is_personal] == ["scans"]
