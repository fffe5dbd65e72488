"""Notices in words: one function for all channels, which says what happened and what to do; and the rules around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.notices import MOST_ATTEMPTS, NoticeKind, Subject, address_of, in_utc, pause_after, text_of, warned_from, words

OF_SESSIONS = [kind for kind in NoticeKind if kind is not NoticeKind.SHOWBACK and not kind.value.startswith("dispute")]
UNTIL = datetime(2026, 11, 28, 16, 40, tzinfo=UTC)


def said(kind: NoticeKind, **values: object) -> list[str]:
    about = Subject(**{"title": "PyTorch", "server_name": "train", "gpus": "2 × NVIDIA H100", "word": "1a2b3c4d", "until": UNTIL, **values})
    found = words(kind, about)
    return [found.subject, *(text_of(sentence) for sentence in found.sentences)]


@pytest.mark.parametrize("kind", OF_SESSIONS)
def test_every_kind_has_a_subject_and_whole_sentences(kind: NoticeKind) -> None:
    subject, *sentences = said(kind)
    assert "PyTorch (train)" in subject
    assert sentences
    assert all(sentence[0].isupper() and (sentence[-1] == "." or "aiplatform confirm" in sentence) for sentence in sentences), sentences


@pytest.mark.parametrize("kind", OF_SESSIONS)
def test_every_kind_does_without_what_may_be_missing(kind: NoticeKind) -> None:
    lines = said(kind, until=None, gpus="", server_name="")
    assert not [line for line in lines if "None" in line or "()" in line]


def test_turn_names_gpus_and_time() -> None:
    assert said(NoticeKind.TURN_CAME) == [
        "Your turn has come: PyTorch (train)",
        "PyTorch (train) is running; 2 × NVIDIA H100 are yours.",
        "Open it by 2026-11-28 16:40 UTC (+00:00), or it goes to whoever is next in line.",
    ]
    assert said(NoticeKind.TURN_CAME, gpus="1 × NVIDIA H100", until=None)[1:] == ["PyTorch (train) is running; 1 × NVIDIA H100 is yours."]


def test_warning_says_how_to_stay() -> None:
    assert said(NoticeKind.INTEREST_EXPIRES) == [
        "Do you still want PyTorch (train)?",
        "It leaves the queue at 2026-11-28 16:40 UTC (+00:00).",
        "If you still want it, choose Keep waiting on its page, or run: aiplatform confirm 1a2b3c4d",
    ]


def test_what_nobody_opened_says_whether_it_comes_again() -> None:
    assert "in the queue again" in said(NoticeKind.NOT_OPENED, is_back=True)[2]
    assert said(NoticeKind.NOT_OPENED, is_back=False)[2] == "It has left the queue."


@pytest.mark.parametrize("cause", [EndCause.IDLE, EndCause.SESSION_CAP, EndCause.CLASS_BEGINS, EndCause.PREEMPTED, EndCause.BUDGET_EXHAUSTED])
def test_release_has_the_reason_of_each_cause(cause: EndCause) -> None:
    assert said(NoticeKind.RELEASED, cause=cause.value)[1] != said(NoticeKind.RELEASED, cause="")[1]
    assert said(NoticeKind.RELEASE_WARNING, cause=cause.value)[1] != said(NoticeKind.RELEASE_WARNING, cause="")[1]


def test_what_was_preempted_says_that_it_waits_again() -> None:
    again = said(NoticeKind.RELEASED, cause=EndCause.PREEMPTED.value, is_back=True)
    assert again[2] == "Files that were saved are still there. It is in the queue again, at its place, and starts again by itself."
    assert said(NoticeKind.RELEASED, cause=EndCause.PREEMPTED.value)[2].endswith("Start it again when you need it.")


def test_what_a_budget_stops_needs_a_larger_budget() -> None:
    assert said(NoticeKind.RELEASED, cause=EndCause.BUDGET_EXHAUSTED.value)[2].endswith("It can start again when the budget has enough.")
    assert "larger budget" in said(NoticeKind.RELEASE_WARNING, cause=EndCause.BUDGET_EXHAUSTED.value)[-1]


def test_owner_of_an_unused_server_is_told_what_keeps_it() -> None:
    _, why, _, then = said(NoticeKind.RELEASE_WARNING, cause="inactive")
    assert (why, then) == ("Nobody has used it for a long time.", "Open it before, and it stays.")


def test_instants_of_mails_are_utc_with_their_offset() -> None:
    assert in_utc(UNTIL.astimezone(timezone(timedelta(hours=9)))) == "2026-11-28 16:40 UTC (+00:00)"


@pytest.mark.parametrize(
    ("name", "domain", "address"),
    [
        ("ada@example.org", "", "ada@example.org"),
        ("ada@example.org", "other.org", "ada@example.org"),
        ("ada", "example.org", "ada@example.org"),
        ("ada", "", None),
        ("ada lovelace", "example.org", None),
        ("ada\nBcc: all", "example.org", None),
        ("ada@example.org\n", "", None),
        ("a@b@c", "example.org", None),
        ("", "example.org", None),
    ],
)
def test_address_is_the_name_or_the_name_at_the_domain(name: str, domain: str, address: str | None) -> None:
    assert address_of(name, domain) == address


def test_pauses_grow_and_come_to_an_end() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, MOST_ATTEMPTS)]
    assert all(later >= earlier for earlier, later in pairwise(pauses) if later and earlier)
    assert pause_after(MOST_ATTEMPTS) is None


def test_owner_is_warned_after_three_quarters() -> None:
    assert warned_from(UNTIL, timedelta(hours=24)) == UNTIL + timedelta(hours=18)
