"""Steps of a start, and what the same choice would be again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.errors import Reason
from aiplatform_hub.operations.prospects import Prospect
from aiplatform_hub.web.view_models.environments import environment_card, gpu_row
from aiplatform_hub.web.view_models.starting import again_note, cannot_again, start_steps
from tests.web.samples import CATALOG, ENDED, NOW, PATHS, QUEUED, RUNNING, STARTING, STOPPING

HELD = replace(STARTING, requested_at=NOW - timedelta(seconds=9), held_at=NOW - timedelta(seconds=8), starting_at=None)


@pytest.mark.parametrize(
    ("allocation", "states"),
    [
        (HELD, [("done", "1 s"), ("now", "8 s so far"), ("next", "")]),
        (replace(HELD, started_at=NOW - timedelta(seconds=2)), [("done", "1 s"), ("done", "6 s"), ("now", "2 s so far")]),
    ],
)
def test_start_says_what_is_done_what_goes_on_and_what_is_to_come(allocation: Allocation, states: list[tuple[str, str]]) -> None:
    assert [(step.state, step.text) for step in start_steps(allocation, NOW)] == states


@pytest.mark.parametrize("other", [RUNNING, STOPPING, QUEUED, ENDED])
def test_only_a_start_has_steps(other: Allocation) -> None:
    assert start_steps(other, NOW) == ()


QUEUE = Prospect(Decision(Outcome.QUEUE, None, (Reason("capacity", "All are held."),)), before=2)
OVER = Prospect(Decision(Outcome.DENY, "quota_exceeded", (Reason("quota_exceeded", "x", "gpus", "user:ada", "2", "0", "3"),)))


@pytest.mark.parametrize(
    ("prospect", "words", "can_start"),
    [
        (Prospect(Decision(Outcome.ADMIT)), "starts at once", True),
        (QUEUE, "joins the queue, 2 wait before you", True),
        (OVER, "over your limit: 2", False),
    ],
)
def test_the_same_again_has_a_price_and_says_whether_it_starts(prospect: Prospect, words: str, *, can_start: bool) -> None:
    note = again_note(1, prospect, Decimal("1.5"), "EUR", {})
    assert (note.price, note.note, note.can_start) == ("1.50 EUR per hour", words, can_start)


def test_what_is_not_offered_any_more_has_no_button() -> None:
    card = environment_card(ENDED, cost=None, catalog=CATALOG, now=NOW, paths=PATHS)
    assert card.can_start_again
    assert not replace(card, again_note=cannot_again("There is no such environment.")).can_start_again
    assert card.hide_url.endswith("/hide")
    assert not environment_card(RUNNING, cost=None, catalog=CATALOG, now=NOW, paths=PATHS).hide_url


def test_curve_of_which_nothing_is_known_is_not_drawn() -> None:
    card = replace(environment_card(RUNNING, cost=None, catalog=CATALOG, now=NOW, paths=PATHS), spark=(None, None))
    assert not card.has_curve
    assert replace(card, spark=(None, 0)).has_curve


def test_free_gpus_say_how_many_wait_for_them() -> None:
    assert gpu_row("H100", free=0, held=4, unhealthy=0, is_simulated=False, waiting=1).text == "0 of 4 free, 1 request waits"
    assert gpu_row("H100", free=0, held=4, unhealthy=0, is_simulated=False, waiting=3).text == "0 of 4 free, 3 requests wait"
