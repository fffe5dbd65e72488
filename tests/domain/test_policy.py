"""The shipped numbers stay within what people were promised."""

from __future__ import annotations

from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, FIFO, HOUR_SECONDS, MINUTE_SECONDS, PRESETS, SHIPPED, Policy


def test_shipped_policy_is_the_defaults():
    assert Policy() == SHIPPED
    assert PRESETS == {"fifo": FIFO, "fair-share-only": FAIR_SHARE_ONLY, "shipped": SHIPPED}


def test_shipped_policy_never_stops_a_busy_session_before_six_hours():
    assert SHIPPED.session_cap_seconds >= 6 * HOUR_SECONDS
    assert SHIPPED.session_ceiling_seconds >= SHIPPED.session_cap_seconds


def test_shipped_policy_waits_ten_minutes_and_warns_in_the_last_five():
    assert SHIPPED.idle_after_seconds >= 10 * MINUTE_SECONDS
    assert SHIPPED.idle_warning_seconds == 5 * MINUTE_SECONDS


def test_shipped_policy_takes_nothing_while_nobody_waits():
    assert SHIPPED.acts_only_while_somebody_waits


def test_presets_without_release_take_nothing_back():
    for policy in (FIFO, FAIR_SHARE_ONLY):
        assert not policy.is_releasing
        assert policy.session_cap_seconds is None
        assert policy.idle_after_seconds is None
