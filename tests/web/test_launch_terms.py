"""Cost, latest end and idle rule in one sentence; what is inside an environment; chips that say what helps."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from aiplatform_hub.domain.contents import Package
from aiplatform_hub.domain.policy import FIFO, SHIPPED, Policy
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.session_terms import terms_of
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.errors import Reason
from aiplatform_hub.web.launch_form import choices_of
from aiplatform_hub.web.view_models.launch import REFUSED_IF_FULL, LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote, chip_note
from aiplatform_hub.web.view_models.launch_terms import TermsLine, price_sentence, terms_line
from tests.web.samples import CATALOG, NOW

COST = "3.00 EUR per hour."
QUEUED = Decision(Outcome.QUEUE, None, (Reason("capacity", "Full.", dimension="gpus", limit="4", used="4"),))


def sentence(line: TermsLine) -> str:
    return f"{line.cost}{'; ' if line.runs else ''}{' '.join(word for word in (line.runs, line.at.text if line.at else '', line.after) if word)}"


@pytest.mark.parametrize(
    ("policy", "gpus", "starts_now", "hours", "words"),
    [
        (SHIPPED, 1, True, None, "runs until you stop it; while others wait, until 12 Nov 2026 20:00 UTC (6 h) and at most 10 min idle."),
        (SHIPPED, 1, False, None, "runs until you stop it; while others wait, up to 6 h and at most 10 min idle."),
        (SHIPPED, 1, False, 8, "runs until you stop it; while others wait, up to 6 h and at most 10 min idle; extensions keep it up to 24 h."),
        (SHIPPED, 1, False, 6, "runs until you stop it; while others wait, up to 6 h and at most 10 min idle."),
        (replace(SHIPPED, acts_only_while_somebody_waits=False), 1, False, None, "runs up to 6 h and at most 10 min idle."),
        (replace(SHIPPED, session_cap_seconds=None), 1, True, None, "runs until you stop it; while others wait, at most 10 min idle."),
        (replace(SHIPPED, idle_after_seconds=None), 1, False, None, "runs until you stop it; while others wait, up to 6 h."),
        (FIFO, 1, True, None, "runs until you stop it."),
        (SHIPPED, 0, True, None, "it ends once nobody has used it for 2 h."),
    ],
)
def test_one_sentence_says_price_latest_end_and_idle_rule(policy: Policy, gpus: int, *, starts_now: bool, hours: int | None, words: str) -> None:
    line = terms_line(COST, terms_of(policy, gpus, 7200.0), starts_at=NOW if starts_now else None, max_hours=hours, has_end=False)
    assert sentence(line) == f"3.00 EUR per hour; {words}"


def test_end_for_a_class_is_said_once() -> None:
    line = terms_line(COST, terms_of(SHIPPED, 1, None), starts_at=NOW, max_hours=None, has_end=True)
    assert sentence(line) == "3.00 EUR per hour; while others wait, at most 10 min idle."
    assert sentence(terms_line(COST, terms_of(FIFO, 1, None), starts_at=NOW, max_hours=None, has_end=True)) == COST


def test_without_terms_only_the_price_is_said() -> None:
    assert (
        sentence(terms_line(price_sentence(Decimal(3), "EUR", 8), None, starts_at=NOW, max_hours=8, has_end=False))
        == "3.00 EUR per hour, 24.00 EUR for 8 hours."
    )


@pytest.mark.parametrize(
    ("wait", "note"),
    [
        (WaitEstimate(600, 2100, 6600), "about 35 min (10 min – 1 h 50 min)"),
        (WaitEstimate(30, 2100, 6600), "about 35 min (up to 1 h 50 min)"),
        (WaitEstimate(10, 20, 30), "about a minute"),
        (WaitEstimate(600, 600, 600), "about 10 min"),
    ],
)
def test_chip_of_a_wait_says_its_range(wait: WaitEstimate, note: str) -> None:
    assert chip_note(2, QUEUED, before=3, wait=wait) == (note, "queue")


@pytest.mark.parametrize(
    ("holders", "scope", "dimension", "note"),
    [
        (("train-1",), "user:ada", "gpus", "over your limit: stop train-1"),
        (("train-1",), "user:ada", "memory_bytes", "over your limit of 2 B memory: stop train-1"),
        (("train-1", "train-2"), "user:ada", "gpus", "queue, 2 of 2 in use: train-1, train-2"),
        (("train-1",), "project:vision", "gpus", "queue, 2 of 2 in use: train-1"),
    ],
)
def test_chip_over_the_own_limit_says_what_to_stop(holders: tuple[str, ...], scope: str, dimension: str, note: str) -> None:
    reason = Reason("quota_in_use", "No.", dimension=dimension, scope=scope, limit="2", used="2", held_by=holders)
    assert chip_note(1, Decision(Outcome.QUEUE, None, (reason,))) == (note, "queue")


def form(**fields: str) -> LaunchForm:
    one = choices_of({"environment_template": "pytorch", "gpus": "2", **fields}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    inside = {"pytorch": (Package("torch", "2.13.0"), Package("own-tool", None))}
    return launch_form(one, Offer(CATALOG, (), ("h100",), {}, inside), Quote({2: QUEUED}, before={2: 1}))


def test_card_names_what_is_inside_with_versions_that_are_known() -> None:
    cards = {card.name: card for card in form().templates}
    assert cards["pytorch"].inside == ("torch 2.13.0", "own-tool")
    assert cards["jupyterlab"].inside == ()


def test_whoever_does_not_want_to_wait_is_told_that_it_would_be_refused() -> None:
    waits, refused = form(), form(if_full="fail")
    assert (waits.button, bool(waits.promise), waits.tone) == ("Join the queue", True, "queue")
    assert (refused.button, refused.promise, refused.verdict, refused.tone) == ("Start", "", REFUSED_IF_FULL, "warn")
    assert [option.value for option in refused.if_full if option.is_chosen] == ["fail"]
