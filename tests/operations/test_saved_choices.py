"""Saved choices: each person's own, deleted with a way back."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from aiplatform_hub.domain.options import options_of
from aiplatform_hub.domain.presets import MAX_PRESETS, preset_name
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError
from aiplatform_hub.operations.presets import Presets
from aiplatform_hub.operations.pruning import KEPT, Pruner
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.presets import PresetStore
from aiplatform_hub.storage.retention import RetentionStore
from tests.support.chain import NOON, Clock, want


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def presets(database: Database, clock: Clock) -> Presets:
    return Presets(database=database, presets=PresetStore(), clock=clock)


def test_saved_choice_comes_back_as_it_was(presets: Presets) -> None:
    saved = presets.save(1, "  Big one ", want(2, memory_gib=8), may_wait=False)
    assert presets.of(1) == (saved,)
    assert (saved.name, saved.options, saved.may_wait, saved.created_at) == ("Big one", options_of(want(2, memory_gib=8)), False, NOON)


def test_nobody_sees_or_touches_what_is_anothers(presets: Presets) -> None:
    saved = presets.save(1, "mine", want(), may_wait=True)
    assert presets.of(2) == ()
    assert presets.find(saved.id, 2) is None
    for act in (presets.delete, presets.restore):
        with pytest.raises(NotFoundError):
            act(saved.id, 2)
        with pytest.raises(NotFoundError):
            act(uuid4(), 1)
    assert presets.of(1) == (saved,)


def test_deleted_one_is_gone_and_can_be_brought_back(presets: Presets) -> None:
    saved = presets.save(1, "mine", want(), may_wait=True)
    for _ in range(2):
        assert presets.delete(saved.id, 1).deleted_at == NOON
    assert presets.of(1) == ()
    for _ in range(2):
        assert presets.restore(saved.id, 1) == saved
    assert presets.of(1) == (saved,)


def test_name_is_used_once_at_a_time_by_one_person(presets: Presets) -> None:
    first = presets.save(1, "mine", want(), may_wait=True)
    presets.save(2, "mine", want(), may_wait=True)
    with pytest.raises(ConflictError, match="under this name already"):
        presets.save(1, "mine", want(2), may_wait=True)
    presets.delete(first.id, 1)
    second = presets.save(1, "mine", want(2), may_wait=True)
    with pytest.raises(ConflictError, match="under this name already"):
        presets.restore(first.id, 1)
    assert presets.of(1) == (second,)


def test_there_is_a_most_and_it_holds_for_undo_too(presets: Presets) -> None:
    saved = [presets.save(1, f"number {number}", want(), may_wait=True) for number in range(MAX_PRESETS)]
    with pytest.raises(ConflictError, match="the most there can be"):
        presets.save(1, "one more", want(), may_wait=True)
    presets.delete(saved[0].id, 1)
    presets.save(1, "one more", want(), may_wait=True)
    with pytest.raises(ConflictError, match="the most there can be"):
        presets.restore(saved[0].id, 1)


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "two\nlines", "bell\a"])
def test_name_is_one_line_of_at_most_60_characters(presets: Presets, name: str) -> None:
    with pytest.raises(InvalidOptionError, match="1 to 60 characters"):
        presets.save(1, name, want(), may_wait=True)
    assert preset_name("x" * 60) == "x" * 60


def test_old_deleted_ones_are_pruned_and_nothing_else(presets: Presets, database: Database, clock: Clock) -> None:
    kept, old, young = (presets.save(1, name, want(), may_wait=True) for name in ("kept", "old", "young"))
    presets.delete(old.id, 1)
    clock.move(days=2)
    presets.delete(young.id, 1)
    clock.move(seconds=(KEPT - timedelta(days=1)).total_seconds())
    Pruner(database=database, retention=RetentionStore(), clock=clock).prune()
    assert presets.find(old.id, 1) is None
    assert presets.find(young.id, 1) is not None
    assert presets.of(1) == (kept,)
