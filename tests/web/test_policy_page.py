"""The policy in plain words."""

from __future__ import annotations

from dataclasses import replace

from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, FIFO, HOUR_SECONDS, SHIPPED
from aiplatform_hub.web.view_models.policy import kept, policy_page, taken
from tests.web.release_samples import policy
from tests.web.samples import CATALOG, NOW


def order(chosen) -> tuple[str, ...]:
    return policy_page(chosen, stop_inactive_minutes=0, catalog=CATALOG, projects=(), sessions=(), now=NOW).sections[-1].sentences


def test_numbers_are_those_of_the_policy_in_force() -> None:
    chosen = replace(SHIPPED, idle_after_seconds=1200, idle_warning_seconds=360, session_cap_seconds=7 * HOUR_SECONDS, guaranteed_seconds=2700)
    said = " ".join((*taken(chosen, 0), *kept(chosen)))
    for words in ("nothing for 20 min", "at least 6 min before", "has run for 7 h", "not stopped before 7 h", "first 45 min", "until 24 h after its start"):
        assert words in said


def test_who_may_lose_gpus_to_whom_is_said() -> None:
    assert "while somebody waits for them, and only for somebody who is more entitled" in " ".join(taken(SHIPPED, 0))
    assert "more entitled" not in " ".join(taken(replace(SHIPPED, takes_from_equals=True), 0))
    assert "whether or not somebody waits" in " ".join(taken(replace(SHIPPED, acts_only_while_somebody_waits=False), 0))


def test_where_nothing_is_taken_back_nothing_else_is_promised() -> None:
    for chosen in (FIFO, FAIR_SHARE_ONLY):
        assert taken(chosen, 0)[0].startswith("Nothing is taken back")
        assert "One click" not in " ".join(kept(chosen))


def test_order_is_three_sentences_with_numbers() -> None:
    assert len(order(SHIPPED)) == 3
    said = " ".join(order(SHIPPED))
    for words in ("half of its weight in 3 days", "shortest time", "after 3 h at the latest and any request after 48 h"):
        assert words in said
    assert order(FIFO) == ("Whoever asked first comes first.",)


def test_projects_of_others_are_not_named() -> None:
    html = policy()
    assert "secret-project" not in html
    assert "another project" in html
    assert html.count("Computer vision") == 2, "its coming window and its limit; the window that is over is not shown"


def test_sessions_without_gpus_end_when_nobody_uses_them_if_at_all() -> None:
    assert "without GPUs" not in " ".join(taken(SHIPPED, 0))
    assert "A session without GPUs that nobody has used for 1 h 30 min ends." in taken(SHIPPED, 90)
