"""One verdict says what is kept, warned and released."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, Policy
from aiplatform_hub.domain.release import Action, Cause, SessionFacts, verdict

HOUR, MINUTE = 3600.0, 60.0
POLICY = Policy(session_cap_seconds=6 * HOUR, idle_after_seconds=10 * MINUTE, idle_warning_seconds=5 * MINUTE, guaranteed_seconds=30 * MINUTE)
START = 1_000_000.0


def after(seconds, *, idle=None, extended=None, must_end=None):
    """Return the facts of a session of some age, idle for so long, extended and bound so many seconds from its start."""
    now = START + seconds
    return SessionFacts(
        now_seconds=now,
        started_seconds=START,
        idle_since_seconds=None if idle is None else now - idle,
        extended_until_seconds=None if extended is None else START + extended,
        must_end_seconds=None if must_end is None else START + must_end,
    )


KEEP, WARN, RELEASE = Action.KEEP, Action.WARN, Action.RELEASE
WAITED_FOR = {
    "young and busy": (after(1 * HOUR), KEEP, Cause.CAP),
    "idle, not yet warned": (after(2 * HOUR, idle=299), KEEP, Cause.IDLE),
    "idle, the last five minutes": (after(2 * HOUR, idle=300), WARN, Cause.IDLE),
    "idle, one second before": (after(2 * HOUR, idle=599), WARN, Cause.IDLE),
    "idle for ten minutes": (after(2 * HOUR, idle=600), RELEASE, Cause.IDLE),
    "busy or unknown for hours": (after(5 * HOUR, idle=None), KEEP, Cause.CAP),
    "idle within the guaranteed minimum": (after(29 * MINUTE, idle=20 * MINUTE), WARN, Cause.IDLE),
    "idle at the end of the guaranteed minimum": (after(30 * MINUTE, idle=20 * MINUTE), RELEASE, Cause.IDLE),
    "before the cap": (after(6 * HOUR - 301), KEEP, Cause.CAP),
    "five minutes before the cap": (after(6 * HOUR - 300), WARN, Cause.CAP),
    "at the cap": (after(6 * HOUR), RELEASE, Cause.CAP),
    "over the cap and idle": (after(8 * HOUR, idle=HOUR), RELEASE, Cause.IDLE),
    "extended over the cap": (after(7 * HOUR, extended=9 * HOUR), KEEP, Cause.CAP),
    "extended while idle": (after(2 * HOUR, idle=HOUR, extended=3 * HOUR), KEEP, Cause.IDLE),
    "extension over": (after(9 * HOUR, extended=9 * HOUR), RELEASE, Cause.CAP),
    "extended beyond the ceiling": (after(24 * HOUR, extended=48 * HOUR), RELEASE, Cause.CAP),
    "a class begins later": (after(1 * HOUR, must_end=2 * HOUR), KEEP, Cause.CLASS),
    "a class begins in five minutes": (after(2 * HOUR - 300, must_end=2 * HOUR), WARN, Cause.CLASS),
    "a class begins": (after(2 * HOUR, must_end=2 * HOUR), RELEASE, Cause.CLASS),
    "a class begins, whatever was extended": (after(2 * HOUR, extended=4 * HOUR, must_end=2 * HOUR), RELEASE, Cause.CLASS),
}


@pytest.mark.parametrize(("facts", "action", "why"), WAITED_FOR.values(), ids=WAITED_FOR)
def test_verdict_while_somebody_waits(facts, action, why):
    found = verdict(facts, POLICY, is_somebody_waiting=True)
    assert (found.action, found.why) == (action, why)
    assert not found.is_if_somebody_waits


@pytest.mark.parametrize("facts", [after(20 * HOUR), after(20 * HOUR, idle=9 * HOUR)], ids=["cap", "idle"])
def test_nothing_is_released_while_nobody_waits(facts):
    found = verdict(facts, POLICY, is_somebody_waiting=False)
    assert found.action is WARN
    assert found.is_if_somebody_waits
    assert verdict(facts, replace(POLICY, acts_only_while_somebody_waits=False), is_somebody_waiting=False).action is RELEASE


def test_a_class_begins_although_nobody_waits_and_an_earlier_deadline_passed():
    found = verdict(after(8 * HOUR, idle=HOUR, must_end=8 * HOUR), POLICY, is_somebody_waiting=False)
    assert (found.action, found.why) == (RELEASE, Cause.CLASS)


def test_deadline_is_said_before_it_comes():
    found = verdict(after(2 * HOUR, idle=400), POLICY, is_somebody_waiting=True)
    assert found.deadline_seconds == START + 2 * HOUR + 200


def test_policy_without_release_keeps_everything():
    found = verdict(after(100 * HOUR, idle=50 * HOUR), FAIR_SHARE_ONLY, is_somebody_waiting=True)
    assert (found.action, found.deadline_seconds, found.why) == (KEEP, None, None)


@given(age=st.floats(0, 40 * HOUR), idle=st.none() | st.floats(0, 40 * HOUR), is_waiting=st.booleans(), extended=st.none() | st.floats(0, 60 * HOUR))
def test_busy_sessions_run_to_the_cap_and_idle_ones_ten_minutes(age, idle, is_waiting, extended):
    idle = None if idle is None else min(idle, age)
    found = verdict(after(age, idle=idle, extended=extended), POLICY, is_somebody_waiting=is_waiting)
    if found.action is RELEASE:
        assert is_waiting
        assert age >= POLICY.guaranteed_seconds
        assert age >= 6 * HOUR - 1e-3 or (idle is not None and idle >= 10 * MINUTE - 1e-3)


@given(age=st.floats(0, 40 * HOUR), idle=st.none() | st.floats(0, 40 * HOUR), must_end=st.none() | st.floats(0, 40 * HOUR))
def test_five_minutes_before_a_release_its_owner_was_warned(age, idle, must_end):
    idle = None if idle is None else min(idle, age)
    facts = after(age, idle=idle, must_end=must_end)
    found = verdict(facts, POLICY, is_somebody_waiting=True)
    if found.action is RELEASE and age >= 300:
        earlier = replace(facts, now_seconds=facts.now_seconds - 299)
        if facts.idle_since_seconds is not None and earlier.now_seconds < facts.idle_since_seconds:
            earlier = replace(earlier, idle_since_seconds=None)
        assert verdict(earlier, POLICY, is_somebody_waiting=True).action is not KEEP
