"""What is said of a session's release."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, HOUR_SECONDS, SHIPPED
from aiplatform_hub.domain.release import Action, Cause, ReleaseView
from aiplatform_hub.domain.release_sentences import Told
from aiplatform_hub.web.view_models.formats import Stamp
from aiplatform_hub.web.view_models.release import Notice, notice
from tests.web.release_samples import IDLE, KEPT, MINUTE
from tests.web.samples import NOW, RUNNING

POLICY = replace(SHIPPED, session_cap_seconds=6 * HOUR_SECONDS, session_ceiling_seconds=24 * HOUR_SECONDS)
ONE_GPU = replace(RUNNING, request=replace(RUNNING.request, gpus=1))


def said(view: ReleaseView, session=RUNNING, policy=POLICY) -> Notice:
    return notice(Told(session, view, policy, NOW))


def text(one: Notice) -> str:
    return "".join(part.text if isinstance(part, Stamp) else part for part in one.words)


def test_idle_warning_says_how_long_who_waits_and_when() -> None:
    one = said(IDLE)
    assert one.is_warning
    assert one.reason == "Your GPUs have been idle for 6 min, and somebody waits for them."
    assert text(one) == "They are given back at 12 Nov 2026 14:04 UTC."
    assert one.countdown == Stamp("2026-11-12T14:04:00.000000Z", "12 Nov 2026 14:04 UTC")
    assert (one.extend_label, one.cannot_extend) == ("Keep it 1 h longer", "")


@pytest.mark.parametrize(
    ("view", "minutes", "words"),
    [
        (KEPT, 11, "Open it by 12 Nov 2026 14:11 UTC, or it goes to whoever is next in line. Its GPUs go to"),
        (replace(KEPT, guaranteed_until=NOW + 26 * MINUTE), 11, "next in line. Then it runs at least until 12 Nov 2026 14:26 UTC. Its GPUs go to"),
        (IDLE, 11, "next in line. They are given back at 12 Nov 2026 14:04 UTC."),
        (KEPT, -1, "Nobody opened it by 12 Nov 2026 13:59 UTC: it goes to whoever is next in line. Its GPUs go to"),
    ],
)
def test_until_when_to_open_it_comes_before_all_promises(view: ReleaseView, minutes: int, words: str) -> None:
    one = notice(Told(RUNNING, view, POLICY, NOW, open_by=NOW + minutes * MINUTE))
    assert words in text(one)
    assert "pen it by" in text(one)[:20] or text(one).startswith("Nobody opened it")


def test_session_without_gpus_has_to_be_opened_too() -> None:
    none = replace(RUNNING, request=replace(RUNNING.request, gpus=0))
    assert text(notice(Told(none, KEPT, POLICY, NOW, open_by=NOW + MINUTE))) == "Open it by 12 Nov 2026 14:01 UTC, or it goes to whoever is next in line."


def test_one_gpu_is_spoken_of_as_one() -> None:
    one = said(IDLE, ONE_GPU)
    assert one.reason == "Your GPU has been idle for 6 min, and somebody waits for it."
    assert text(one).startswith("It is given back at ")


@pytest.mark.parametrize(
    ("deadline", "words"),
    [
        (NOW + 4 * MINUTE, "Nobody waits for them now; from 12 Nov 2026 14:04 UTC on they go as soon as somebody does."),
        (NOW, "Nobody waits for them now; they go as soon as somebody does."),
    ],
)
def test_where_nobody_waits_nothing_counts_down(deadline: datetime, words: str) -> None:
    one = said(replace(IDLE, deadline=deadline, is_if_somebody_waits=True, is_somebody_waiting=False))
    assert one.reason == "Your GPUs have been idle for 6 min."
    assert text(one) == words
    assert one.countdown is None


def test_who_waits_but_would_not_get_them_is_no_threat() -> None:
    one = said(replace(IDLE, is_if_somebody_waits=True, deadline=NOW))
    assert one.reason == "Your GPUs have been idle for 6 min."
    assert text(one) == "Somebody waits, but does not need yours yet; they go as soon as that changes."
    assert one.countdown is None


def test_before_the_deadline_whoever_waits_is_a_threat() -> None:
    idle = said(replace(IDLE, is_if_somebody_waits=True))
    assert idle.reason.endswith("and somebody waits for them.")
    assert text(idle) == "They are given back at 12 Nov 2026 14:04 UTC."
    assert idle.countdown
    assert text(said(replace(IDLE, is_if_somebody_waits=True, why=Cause.CAP))) == "They may be given back at 12 Nov 2026 14:04 UTC."


def test_over_its_cap_it_says_how_long_it_has_run() -> None:
    one = said(replace(IDLE, why=Cause.CAP), replace(RUNNING, started_at=NOW - timedelta(hours=5, minutes=56)))
    assert one.reason == "This session has run for 6 h, and somebody waits for its GPUs."


def test_at_the_ceiling_the_button_stays_and_says_why_it_is_of_no_use() -> None:
    one = said(replace(IDLE, why=Cause.CAP, can_extend_until=None))
    assert (one.extend_label, one.cannot_extend) == ("Keep it longer", "It cannot be kept longer: 24 h is the most.")


def test_for_a_class_nobody_keeps_it() -> None:
    one = said(replace(IDLE, why=Cause.CLASS, can_extend_until=None))
    assert one.reason == "A class that has reserved these GPUs begins."
    assert "told to make room" in one.cannot_extend


def test_what_kueue_wants_back_nobody_keeps_and_it_comes_again() -> None:
    one = said(replace(IDLE, why=Cause.PREEMPTED, can_extend_until=None))
    assert one.reason == "The cluster's queue, Kueue, wants these GPUs back for others."
    assert text(one) == "They are given back at 12 Nov 2026 14:04 UTC."
    assert one.cannot_extend == "It cannot be kept longer. It goes back into the line, to its place, and starts again by itself."
    assert one.countdown
    view = replace(KEPT, why=Cause.PREEMPTED, guaranteed_until=NOW + 20 * MINUTE, extended_until=NOW + 60 * MINUTE)
    for policy in (POLICY, FAIR_SHARE_ONLY):
        assert text(said(view, policy=policy)).startswith("Runs at least until 12 Nov 2026 14:20 UTC. Then the cluster's queue, Kueue, takes")


def test_what_a_spent_budget_stops_says_so_and_what_would_help() -> None:
    one = said(replace(IDLE, why=Cause.BUDGET, can_extend_until=None))
    assert one.reason == "A budget that pays for this session is spent."
    assert text(one) == "They are given back at 12 Nov 2026 14:04 UTC."
    assert one.cannot_extend == "It cannot be kept longer, unless an admin sets a larger budget. Files that were saved stay."


def test_unused_server_says_what_keeps_it_and_has_no_button() -> None:
    bare = replace(RUNNING, devices=(), request=replace(RUNNING.request, gpus=0, gpu_type=None))
    one = said(replace(KEPT, action=Action.WARN, deadline=NOW + 4 * MINUTE, why=Cause.INACTIVE, can_extend_until=None), bare)
    assert one.reason == "Nobody has used this environment for a long time."
    assert text(one) == "It is stopped after 12 Nov 2026 14:04 UTC. Open it before, and it stays."
    assert one.countdown == Stamp("2026-11-12T14:04:00.000000Z", "12 Nov 2026 14:04 UTC")
    assert (one.extend_label, one.cannot_extend) == ("", "")


def test_what_is_being_released_cannot_be_kept() -> None:
    one = said(replace(IDLE, action=Action.RELEASE, deadline=NOW, can_extend_until=None))
    assert text(one) == "They are being given back now."
    assert one.cannot_extend == "It is too late to keep it."
    assert one.countdown is None


def test_less_than_a_whole_extension_is_named() -> None:
    assert said(replace(IDLE, can_extend_until=NOW + 20 * MINUTE)).extend_label == "Keep it 20 min longer"


def test_kept_session_says_what_it_may_rely_on() -> None:
    fresh = said(replace(KEPT, guaranteed_until=NOW + 20 * MINUTE))
    assert not fresh.is_warning
    assert text(fresh) == (
        "Runs at least until 12 Nov 2026 14:20 UTC. Its GPUs go to who waits after 10 min idle, or from 12 Nov 2026 17:56 UTC on; "
        "you can keep it until 13 Nov 2026 11:56 UTC."
    )
    assert text(said(KEPT)).startswith("Its GPUs go to who waits after")
    assert text(said(replace(KEPT, extended_until=NOW + 60 * MINUTE))).startswith("You keep it until 12 Nov 2026 15:00 UTC. Its GPUs go to")
    assert "from 12 Nov 2026 20:00 UTC on" in text(said(replace(KEPT, extended_until=NOW + 360 * MINUTE))), "an extension moves the cap"


def test_what_the_policy_never_takes_is_not_spoken_of() -> None:
    assert text(said(KEPT, policy=FAIR_SHARE_ONLY)) == ""
    assert text(said(KEPT, replace(RUNNING, request=replace(RUNNING.request, gpus=0, gpu_type=None)))) == ""
    bound = replace(RUNNING, must_end_at=NOW + 60 * MINUTE)
    assert text(said(KEPT, bound, FAIR_SHARE_ONLY)) == "At 12 Nov 2026 15:00 UTC a class begins that has reserved its GPUs: then it ends."


def test_state_changes_with_what_is_new_and_not_with_the_minute() -> None:
    later = notice(Told(RUNNING, IDLE, POLICY, NOW + MINUTE))
    assert said(IDLE).state == later.state
    other = replace(IDLE, deadline=NOW + 10 * MINUTE)
    nobody = replace(IDLE, is_if_somebody_waits=True, is_somebody_waiting=False)
    assert len({said(view).state for view in (KEPT, IDLE, other, nobody)}) == 4
