"""The policy in plain words."""

from __future__ import annotations

from dataclasses import replace

from aiplatform_hub.domain.inactivity import InactivityLimit, Rule
from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, FIFO, HOUR_SECONDS, SHIPPED
from aiplatform_hub.web.no_breaks import NO_BREAK
from aiplatform_hub.web.view_models.inactivity import unused_rows, unused_sentence
from aiplatform_hub.web.view_models.policy import kept, policy_page, taken
from tests.web.release_samples import policy
from tests.web.samples import CATALOG, NOW


def order(chosen) -> tuple[str, ...]:
    return policy_page(chosen, unused=(), catalog=CATALOG, projects=(), sessions=(), now=NOW).sections[-1].sentences


def test_numbers_are_those_of_the_policy_in_force() -> None:
    chosen = replace(SHIPPED, idle_after_seconds=1200, idle_warning_seconds=360, session_cap_seconds=7 * HOUR_SECONDS, guaranteed_seconds=2700)
    said = " ".join((*taken(chosen, ()), *kept(chosen)))
    for words in ("nothing for 20 min", "at least 6 min before", "has run for 7 h", "not stopped before 7 h", "first 45 min", "until 24 h after its start"):
        assert words in said


def test_who_may_lose_gpus_to_whom_is_said() -> None:
    assert "while somebody waits for them, and only for somebody who is more entitled" in " ".join(taken(SHIPPED, ()))
    assert "more entitled" not in " ".join(taken(replace(SHIPPED, takes_from_equals=True), ()))
    assert "whether or not somebody waits" in " ".join(taken(replace(SHIPPED, acts_only_while_somebody_waits=False), ()))


def test_where_nothing_is_taken_back_nothing_else_is_promised() -> None:
    for chosen in (FIFO, FAIR_SHARE_ONLY):
        assert taken(chosen, ())[0].startswith("Nothing is taken back")
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
    assert html.count("Computer vision") == 4, "its coming window, its two limits, a session; the window that is over is not shown"


def test_sessions_without_gpus_end_when_nobody_uses_them_if_at_all() -> None:
    never, place = InactivityLimit(None, Rule.PLACE), InactivityLimit(5400, Rule.PLACE)
    assert "without GPUs" not in " ".join(taken(SHIPPED, (never,)))
    assert "A session without GPUs that nobody has used for 1 h 30 min ends." in taken(SHIPPED, (place,))
    assert unused_rows((place,), CATALOG) == unused_rows((never,), CATALOG) == ()
    assert "which the list below says" in " ".join(taken(SHIPPED, (InactivityLimit(600, Rule.PROJECT, "vision"), never)))


def test_limits_of_sessions_that_nobody_uses_are_those_of_the_reader() -> None:
    limits = (
        InactivityLimit(None, Rule.PROJECT, "vision"),
        InactivityLimit(3600, Rule.ENVIRONMENT_TEMPLATE, "jupyterlab"),
        InactivityLimit(14400, Rule.PLACE),
    )
    assert [(row.which, row.after) for row in unused_rows(limits, CATALOG)] == [
        ("In the project Computer vision", "never"),
        ("JupyterLab", "after 1 h"),
        ("All others", "after 4 h"),
    ]
    (row,) = unused_rows((InactivityLimit(1800, Rule.TIER, "default"),), CATALOG)
    assert (row.which, row.after) == ("All, as your tier is Default", "after 30 min")
    assert unused_rows((limits[0], InactivityLimit(1800, Rule.TIER, "default")), CATALOG)[1].which == "All others, as your tier is Default"


def test_what_ends_a_session_without_gpus_is_said_with_the_rule_behind_it() -> None:
    assert (
        unused_sentence(InactivityLimit(3600, Rule.PROJECT, "vision"), CATALOG)
        == "It ends once nobody has used it for 1 h, the limit of the project Computer vision."
    )
    assert unused_sentence(InactivityLimit(3600, Rule.TIER, "gone"), CATALOG) == "It ends once nobody has used it for 1 h, the limit of the tier gone."
    assert (
        unused_sentence(InactivityLimit(3600, Rule.ENVIRONMENT_TEMPLATE, "jupyterlab"), CATALOG)
        == "It ends once nobody has used it for 1 h, the limit of JupyterLab."
    )
    assert unused_sentence(InactivityLimit(3600, Rule.PLACE), CATALOG) == "It ends once nobody has used it for 1 h."
    assert unused_sentence(InactivityLimit(None, Rule.TIER, "default"), CATALOG) == "It runs until you stop it, used or not."
    html = policy().replace(NO_BREAK, " ")
    assert html.count("It ends once nobody has used it for 8 h, the limit of the project Computer vision.") == 1
    assert '<h2 id="unused">' in html
