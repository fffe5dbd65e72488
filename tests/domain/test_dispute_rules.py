"""Disputes go back and forth until they are withdrawn, and nothing that was said is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.disputes import MOST_TEXT, Dispute, DisputeState, Entry, EntryKind, answered, check_new, entry_text, replied, withdrawn
from aiplatform_hub.errors import AIPlatformError, ConflictError, ForbiddenError, InvalidOptionError

NOW = datetime(2026, 12, 2, 9, tzinfo=UTC)
OPEN = Dispute(UUID(int=1), UUID(int=2), 3, (Entry(1, EntryKind.OPENED, "vera", NOW, "Twice?"),))
ACTS = {"reply": replied, "answer": answered, "withdraw": withdrawn}


@given(acts=st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from(["vera", "otto", "admin"]), st.integers(-3, 3)), max_size=8))
def test_entries_are_only_added_and_the_last_says_the_state(acts) -> None:
    dispute = OPEN
    for verb, by, minutes in acts:
        before = dispute
        try:
            entry = ACTS[verb](dispute, by=by, at=NOW + timedelta(minutes=minutes), text="said")
        except AIPlatformError:
            assert before.state is DisputeState.WITHDRAWN or (verb == "withdraw" and by != "vera")
            continue
        dispute = replace(dispute, entries=(*dispute.entries, entry))
        assert dispute.entries[:-1] == before.entries
        assert [each.number for each in dispute.entries] == list(range(1, len(dispute.entries) + 1))
        assert entry.at >= before.entries[-1].at, "a clock that was set back puts nothing before what it replies to"
        expected = {"reply": DisputeState.OPEN, "answer": DisputeState.ANSWERED, "withdraw": DisputeState.WITHDRAWN}
        assert dispute.state is expected[verb]


def test_only_who_opened_it_withdraws_it() -> None:
    with pytest.raises(ForbiddenError, match="Only vera"):
        withdrawn(OPEN, by="otto", at=NOW, text="")
    over = replace(OPEN, entries=(*OPEN.entries, withdrawn(OPEN, by="vera", at=NOW, text="")))
    for act in (replied, answered):
        with pytest.raises(ConflictError, match="it is over"):
            act(over, by="vera", at=NOW, text="still")


def test_a_line_has_one_dispute_at_a_time() -> None:
    with pytest.raises(ConflictError, match="vera disputes line 3 already"):
        check_new((OPEN,), 3)
    check_new((OPEN,), 4)
    check_new((replace(OPEN, entries=(*OPEN.entries, withdrawn(OPEN, by="vera", at=NOW, text=""))),), 3)


@pytest.mark.parametrize("text", ["", " \n ", "x" * (MOST_TEXT + 1), "a\x00b", "a\x1b[31m"])
def test_what_cannot_be_said_names_its_field(text: str) -> None:
    with pytest.raises(InvalidOptionError) as caught:
        entry_text(text)
    assert caught.value.reasons[0].field == "text"


def test_lines_of_a_text_stay() -> None:
    assert entry_text("  one\r\ntwo ") == "one\ntwo"
    assert entry_text("x" * MOST_TEXT)
