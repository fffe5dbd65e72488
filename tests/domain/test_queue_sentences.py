"""A place in the queue in words: numbers, no names that the reader may not know, no time that nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from aiplatform_hub.domain.queue_sentences import Reader, ordinal, place, span, waiting_sentence
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SOON = NOW.timestamp() + 35 * 60
ALICE = Reader(NOW, "alice")
THEIRS = "5d0f6f5e-0000-4000-8000-000000000001"


def said(reason: WaitReason, position: int = 2, gpu_type: str | None = "h100", reader: Reader = ALICE) -> str:
    return waiting_sentence(QueueEntry(UUID(int=1), position, reason), gpu_type, reader)


CASES = [
    (WaitReason(WaitCode.KUEUE_QUOTA, requested="2", free="1"), "2nd in line. Waiting for 2 h100 GPUs of Kueue's quota: 1 is free."),
    (WaitReason(WaitCode.KUEUE_QUOTA, requested="2", ahead=1), "2nd in line. Waiting for 2 h100 GPUs of Kueue's quota."),
    (
        WaitReason(WaitCode.KUEUE_QUOTA, requested="2", ahead=4),
        "2nd in line. Waiting for 2 h100 GPUs of Kueue's quota. With others of the cluster it is 5th in Kueue's queue.",
    ),
    (WaitReason(WaitCode.KUEUE_LIMIT, requested="8"), "2nd in line. Kueue's whole quota is less than 8 h100 GPUs; it waits until an administrator raises it."),
    (
        WaitReason(WaitCode.KUEUE_QUEUE, requested="1"),
        "2nd in line. Its project's queue is missing or stopped in Kueue; it waits until an administrator sets that right.",
    ),
    (WaitReason(WaitCode.KUEUE_FLAVOUR, requested="1"), "2nd in line. Kueue has no quota for 1 h100 GPU; it waits until an administrator adds some."),
    (WaitReason(WaitCode.KUEUE_CHECK, requested="1"), "2nd in line. Kueue keeps 1 h100 GPU for it, and still checks whether it may start."),
    (WaitReason(WaitCode.KUEUE_NODE, requested="2"), "2nd in line. Kueue has admitted it. Waiting for a node with 2 h100 GPUs free together."),
    (
        WaitReason(WaitCode.KUEUE_AWAY, requested="1"),
        "2nd in line. Kueue does not answer. Running sessions go on; this one waits for 1 h100 GPU until it does.",
    ),
    (
        WaitReason(WaitCode.KUEUE_BEHIND, requested="1", free="2", ahead=1),
        "2nd in line. Waiting for 1 h100 GPU: 2 are free, but Kueue serves the request before it first, and lets nobody pass.",
    ),
    (
        WaitReason(WaitCode.KUEUE_BEHIND, requested="1", free="0", ahead=2),
        "2nd in line. Waiting for 1 h100 GPU: Kueue serves the 2 requests before it first, and lets nobody pass. With others of the cluster it is 3rd in Kueue's queue.",
    ),
    (WaitReason(WaitCode.KUEUE, requested="1"), "2nd in line. Waiting for 1 h100 GPU: Kueue has not admitted it yet."),
    (WaitReason(WaitCode.CAPACITY, requested="2", free="1"), "2nd in line. Waiting for 2 h100 GPUs: 1 is free."),
    (WaitReason(WaitCode.CAPACITY, requested="1", free="0"), "2nd in line. Waiting for 1 h100 GPU: none is free."),
    (
        WaitReason(WaitCode.CAPACITY, requested="2", free="0", until_seconds=SOON),
        "2nd in line. Waiting for 2 h100 GPUs: none is free.",
    ),
    (WaitReason(WaitCode.CAPACITY, requested="2"), "2nd in line. Waiting for 2 h100 GPUs."),
    (
        WaitReason(WaitCode.CAPACITY, requested="2", free="0", room_by_seconds=SOON, room_of=(THEIRS,)),
        "2nd in line. Waiting for 2 h100 GPUs: none is free; another session makes room within 35 min, unless extended.",
    ),
    (
        WaitReason(WaitCode.CAPACITY, requested="2", free="0", room_by_seconds=NOW.timestamp(), room_of=(THEIRS, "x")),
        "2nd in line. Waiting for 2 h100 GPUs: none is free; 2 sessions make room soon, unless extended.",
    ),
    (
        WaitReason(WaitCode.CAPACITY, "memory_bytes", requested=str(16 * 1024**3), limit=str(64 * 1024**3), used=str(60 * 1024**3)),
        "2nd in line. Waiting for 16 GiB of memory: 4 GiB are free.",
    ),
    (
        WaitReason(WaitCode.BEHIND, requested="1", free="2", until_seconds=SOON, because_of=(THEIRS,)),
        "2nd in line. Waiting for 1 h100 GPU, 2 are free, but starting now would delay a request that has waited longer. That one is expected to start in about 35 min.",
    ),
    (
        WaitReason(WaitCode.RESERVED, requested="4", free="3", until_seconds=SOON),
        "2nd in line. 4 h100 GPUs are kept for it as they come free, from everybody behind it; who is put before it may still take some. 3 are free now.",
    ),
    (
        WaitReason(WaitCode.RESERVED, requested="1", free="0"),
        "2nd in line. 1 h100 GPU is kept for it as it comes free, from everybody behind it; who is put before it may still take some. None is free now.",
    ),
    (
        WaitReason(WaitCode.RELEASE, requested="2", because_of=(THEIRS,)),
        "2nd in line. Waiting for 2 h100 GPUs: GPUs of another session are being taken back for it.",
    ),
    (
        WaitReason(WaitCode.RELEASE, requested="2", because_of=(THEIRS, "x")),
        "2nd in line. Waiting for 2 h100 GPUs: GPUs of 2 other sessions are being taken back for it.",
    ),
    (
        WaitReason(WaitCode.PROJECT_LIMIT, requested="2", because_of=("vision",)),
        "2nd in line. The members of project vision hold as many GPUs as the queue's policy lets them; this one waits for 2 h100 GPUs more.",
    ),
    (WaitReason(WaitCode.CLASS, requested="1"), "2nd in line. Waiting for 1 h100 GPU: the GPUs are kept for a class that runs or is about to begin."),
    (
        WaitReason(WaitCode.TOO_LARGE, requested="4"),
        "2nd in line. No machine gives out 4 h100 GPUs now: GPUs are out of order, or drained by an admin. It waits until one does.",
    ),
    (
        WaitReason(WaitCode.QUOTA_IN_USE, scope="user:alice", requested="2", limit="2", used="1"),
        "2nd in line. You hold 1 of 2 GPUs allowed; this one needs 2 h100 GPUs. It starts when enough of that ends, and holds nobody up.",
    ),
    (
        WaitReason(WaitCode.QUOTA_IN_USE, scope="user:bob", requested="2", limit="2", used="1"),
        "2nd in line. bob holds 1 of 2 GPUs allowed; this one needs 2 h100 GPUs. It starts when enough of that ends, and holds nobody up.",
    ),
    (
        WaitReason(WaitCode.QUOTA_IN_USE, "gpu_hours", "project:vision", "0", limit="100", used="99.5"),
        "2nd in line. The members of project vision have used 99.5 of 100 GPU-hours allowed. It starts when enough of that is long ago, and holds nobody up.",
    ),
    (
        WaitReason(WaitCode.QUOTA_IN_USE, "storage_bytes", "user:alice", "0", limit=str(1024**3), used=str(2 * 1024**3)),
        "2nd in line. You keep files of 2 GiB of 1 GiB of storage allowed. It starts when enough of them are deleted, and holds nobody up.",
    ),
    (WaitReason(WaitCode.UNKNOWN_OWNER, "user", "user:alice"), "JupyterHub has not said yet who you are; it waits until it does."),
    (WaitReason(WaitCode.NEW, requested="2"), "It has just joined the queue; in a moment it has its place."),
]


@pytest.mark.parametrize(("reason", "sentence"), CASES, ids=lambda value: value.code.value if isinstance(value, WaitReason) else "")
def test_each_reason_is_a_sentence_with_its_numbers(reason, sentence):
    assert said(reason) == sentence


@pytest.mark.parametrize("code", WaitCode)
def test_every_code_has_words_even_without_numbers(code):
    sentence = said(WaitReason(code))
    assert sentence.endswith(".")
    assert "None" not in sentence


@pytest.mark.parametrize("code", [WaitCode.BEHIND, WaitCode.RELEASE])
def test_others_are_named_only_to_who_may_know_all_of_them(code):
    reason = WaitReason(code, requested="1", because_of=(THEIRS, "b"))
    admin = Reader(NOW, "root", {THEIRS: "bob's train-1", "b": "cem's lab"})
    half = Reader(NOW, "alice", {THEIRS: "your train-1"})
    assert "bob's train-1 and cem's lab" in said(reason, reader=admin)
    assert "train-1" not in said(reason, reader=half)
    assert THEIRS not in said(reason)


@pytest.mark.parametrize(
    ("number", "word"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"), (21, "21st"), (112, "112th")]
)
def test_places_are_counted_as_people_do(number, word):
    assert ordinal(number) == word
    assert place(number) == ("Next in line" if number == 1 else f"{word} in line")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1 min"),
        (89, "1 min"),
        (35 * 60, "35 min"),
        (3569, "59 min"),
        (3590, "1 h"),
        (5400, "1 h 30 min"),
        (7700, "2 h 10 min"),
        (86_400, "1 day"),
        (250_000, "3 days"),
    ],
)
def test_lengths_are_no_more_exact_than_anybody_knows(seconds, text):
    assert span(seconds) == text
