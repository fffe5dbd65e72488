"""What an admin moves to the front comes first, has GPUs kept for it, and those whom it overtakes are told why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.plain_text import MOST_CHARACTERS, plain_line
from aiplatform_hub.domain.planner import plan, verdict_on
from aiplatform_hub.domain.policy import FIFO, SHIPPED
from aiplatform_hub.domain.queue_moves import Move, MoveNote, move_sentence, note_on, overtaken_by
from aiplatform_hub.domain.queue_sentences import Reader, waiting_sentence
from aiplatform_hub.domain.queue_values import Node, PlannerInput, ReasonCode, Running, Waiting
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.errors import InvalidOptionError

NOW, HOUR = 1_000_000.0, 3600.0
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
A, B, C, D = (UUID(int=number) for number in range(1, 5))
BOX = (Node("box", "h100", 4),)


def asks(name: str, gpus: int = 1, *, waited_hours: float = 0.0, moved_ago: float | None = None, is_promised: bool = False) -> Waiting:
    moved = None if moved_ago is None else NOW - moved_ago
    return Waiting(name, Person("lab", name), gpus, None, NOW - waited_hours * HOUR, HOUR, HOUR, is_promised=is_promised, moved_seconds=moved)


def line(waiting: list[Waiting], *, held: int = 0, policy=SHIPPED) -> PlannerInput:
    running = (Running("runs", Person("lab", "eva"), held, "box", NOW + HOUR),) if held else ()
    return PlannerInput(NOW, BOX, running, tuple(waiting), {each.person: 0 for each in (*running, *waiting)}, policy)


@pytest.mark.parametrize("policy", [SHIPPED, FIFO, replace(SHIPPED, overdue_after_seconds=None)], ids=["shipped", "by submit time", "nobody is overdue"])
def test_what_was_moved_up_comes_before_all_but_promised_ones(policy) -> None:
    waiting = [
        asks("old", waited_hours=200),
        asks("moved", moved_ago=60),
        asks("promised", is_promised=True),
        asks("moved last", moved_ago=5),
        asks("new"),
    ]
    order = [decision.request_id for decision in plan(line(waiting, policy=policy)).decisions]
    assert order[:4] == ["promised", "moved last", "moved", "old"]


def test_what_was_moved_up_starts_first_on_what_is_free() -> None:
    found = plan(line([asks("old", waited_hours=9), asks("moved", moved_ago=1)], held=3))
    assert [start.request_id for start in found.starts] == ["moved"]


def test_gpus_are_kept_at_once_for_what_was_moved_up_and_does_not_fit() -> None:
    """Without it, small requests would pass it for as long as they come."""
    waiting = [replace(asks("small"), expected_seconds=9 * HOUR, safe_seconds=9 * HOUR), asks("large", 4, moved_ago=1)]
    found = plan(line(waiting, held=2))
    assert {each.request_id: each.code for each in found.decisions} == {"large": ReasonCode.RESERVED, "small": ReasonCode.BEHIND_RESERVATION}
    assert verdict_on(line(waiting, held=2), "large").code is ReasonCode.RESERVED
    usual = plan(line([waiting[0], asks("large", 4)], held=2, policy=FIFO))
    assert [start.request_id for start in usual.starts] == ["small"]


def move(of: UUID, *overtaken: UUID, minutes: int = 0, reason: str = "an exam") -> Move:
    return Move(minutes, of, NOON + timedelta(minutes=minutes), "boss", reason, frozenset(overtaken))


def test_the_owner_and_those_overtaken_are_told_and_nobody_else() -> None:
    moves = [move(C, A, B)]
    assert note_on(C, moves) == MoveNote("boss", "an exam")
    assert note_on(A, moves) == note_on(B, moves) == MoveNote(overtaken_for=("an exam",))
    assert note_on(D, moves) is None


def test_who_is_moved_before_those_that_overtook_it_is_told_of_its_own_move_only() -> None:
    moves = [move(C, A, B), move(A, C, minutes=1, reason="a demo")]
    assert note_on(A, moves) == MoveNote("boss", "a demo")
    assert note_on(C, moves) == MoveNote("boss", "an exam", ("a demo",))


def test_who_stood_before_is_overtaken() -> None:
    assert overtaken_by(C, [A, B, C, D]) == {A, B}
    assert overtaken_by(A, [A, B]) == frozenset()


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        (None, ""),
        (MoveNote("boss", "an exam"), " boss moved it to the front of the queue: an exam."),
        (MoveNote(overtaken_for=("An exam!",)), " An admin moved another request before it: An exam!"),
        (MoveNote(overtaken_for=("an exam", "a demo", "an exam")), " An admin moved 3 other requests before it: an exam; a demo."),
    ],
)
def test_words(note: MoveNote | None, sentence: str) -> None:
    assert move_sentence(note) == sentence
    entry = QueueEntry(A, 2, WaitReason(WaitCode.CAPACITY, requested="1"), note)
    assert waiting_sentence(entry, None, Reader(NOON)) == f"2nd in line. Waiting for 1 GPU.{sentence}"
    new = QueueEntry(A, 2, WaitReason(WaitCode.NEW), note)
    assert waiting_sentence(new, None, Reader(NOON)).endswith(sentence)


def test_a_reason_is_one_printable_line() -> None:
    assert plain_line("  an\n\texam  ", field="reason", needs="Say why.") == "an exam"
    assert not plain_line("", field="message")
    for text, words in ((" \n", "Say why."), ("x" * (MOST_CHARACTERS + 1), "at most 300"), ("a\u202eb", "cannot be shown"), ("a\0b", "cannot be shown")):
        with pytest.raises(InvalidOptionError, match=words) as caught:
            plain_line(text, field="reason", needs="Say why.")
        assert caught.value.reasons[0].field == "reason"
