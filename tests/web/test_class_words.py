"""What pages say of classes for which GPUs are kept, and of the policy."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.classes import ClassEnd, class_end
from aiplatform_hub.domain.policy import SHIPPED, ClassReservation
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.web.launch_form import choices_of
from aiplatform_hub.web.no_breaks import NO_BREAK
from aiplatform_hub.web.rendering import environment, render
from aiplatform_hub.web.view_models import admin
from aiplatform_hub.web.view_models.environments import environment_card
from aiplatform_hub.web.view_models.launch import LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote
from aiplatform_hub.web.view_models.now import NowPage
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel, policy_panel
from tests.web.samples import CATALOG, ENDED, HOSTILE, NOW, PATHS, RUNNING, frame
from tests.web.test_pages import kept

BEGINS = NOW + timedelta(hours=2)
LAB = replace(RUNNING, must_end_at=BEGINS, request=replace(RUNNING.request, project="personal"))


def window(project: str = "vision", *, starts: float = 2, hours: float = 2, gpu_type: str | None = None) -> ClassReservation:
    start = (NOW + timedelta(hours=starts)).timestamp()
    return ClassReservation(project, 2, gpu_type, start, start + 3600 * hours)


@pytest.mark.parametrize(
    ("windows", "projects"),
    [
        ((), ()),
        ((window(),), ("vision",)),
        ((window(starts=3),), ()),
        ((window("personal"),), ()),  # its own
        ((window(), window("nlp")), ("nlp", "vision")),
    ],
)
def test_session_ends_for_the_classes_that_begin_then(windows, projects):
    assert class_end(BEGINS, "personal", windows) == ClassEnd(BEGINS, projects)
    assert class_end(None, "personal", windows) is None


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ((window(),), "when the class of project Computer vision begins"),
        ((), "when a class begins"),
        ((window(), window("nlp")), "when classes of the projects nlp and Computer vision begin"),
    ],
)
def test_card_says_when_and_why_it_ends(windows, words):
    card = environment_card(LAB, cost=None, catalog=CATALOG, now=NOW, paths=PATHS, windows=windows)
    (fact,) = [fact for fact in card.facts if fact.label == "Ends at the latest"]
    assert fact.at is not None
    assert (fact.at.text, fact.text) == ("12 Nov 2026 16:00 UTC", f"({words})")


@pytest.mark.parametrize("allocation", [replace(LAB, must_end_at=None), replace(ENDED, must_end_at=BEGINS)])
def test_card_of_what_makes_room_for_none_says_nothing(allocation):
    card = environment_card(allocation, cost=None, catalog=CATALOG, now=NOW, paths=PATHS, windows=(window(),))
    assert all(fact.label != "Ends at the latest" for fact in card.facts)


def form(ends: dict[int, ClassEnd]) -> LaunchForm:
    choices = choices_of({"environment_template": "pytorch", "gpus": "2"}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    decisions = {gpus: Decision(Outcome.ADMIT) for gpus in range(5)}
    return launch_form(choices, Offer(CATALOG, (), ("h100",), {}), Quote(decisions, Decimal(3), "EUR", ends=ends))


def test_launch_says_when_the_choice_would_end():
    html = render("launch.html", frame("launch"), form=form({2: ClassEnd(BEGINS, ("vision",))}), keep=kept())
    sentence = 'It ends at <time datetime="2026-11-12T16:00:00.000000Z">12 Nov 2026 16:00 UTC</time>, when the class of project Computer vision begins.'
    assert sentence in html.replace(NO_BREAK, " ")
    assert "It ends at" not in render("launch.html", frame("launch"), form=form({1: ClassEnd(BEGINS, ("vision",))}), keep=kept()), "another count would"


def test_spawn_page_says_it_for_every_count_because_none_is_chosen_there():
    nlp = ClassEnd(BEGINS + timedelta(hours=1), ("nlp",))
    of_vision = ClassEnd(BEGINS, ("vision",))
    ends = {1: nlp, 2: of_vision, 4: of_vision, 3: of_vision}
    html = environment().get_template("options_form.html").render(form=form(ends), launch_url="/x")
    said = re.sub(r"<[^>]*>", "", html).replace(NO_BREAK, " ")
    assert "With 1 GPU it ends at 12 Nov 2026 17:00 UTC, when the class of project nlp begins." in said
    assert "With 2, 3 or 4 GPUs it ends at 12 Nov 2026 16:00 UTC, when the class of project Computer vision begins." in said


def panel(**changes) -> PolicyPanel:
    policy = replace(SHIPPED, session_cap_seconds=None, reservations=(window("nlp", starts=5, gpu_type="h100"), window(starts=-1), window(), window(starts=-9)))
    about = {"version": 3, "applied_at": NOW, "applied_by": HOSTILE, "trouble": "", "opened": (LAB, RUNNING)}
    return policy_panel(policy, **{**about, **changes}, catalog=CATALOG, now=NOW)


def test_admin_sees_version_differences_and_windows_that_are_not_over():
    shown = panel()
    assert (shown.version, shown.changes) == ("Version 3", (("session_cap", "6h", "never"),))
    assert [(row.project, row.gpus, row.state, row.makes_room) for row in shown.windows] == [
        ("Computer vision", "2 GPUs", "on now", "nobody"),
        ("Computer vision", "2 GPUs", "in 2 h", "ada (2 GPUs)"),
        ("nlp", "2 × NVIDIA H100", "in 5 h", "nobody"),
    ]


def test_admin_page_shows_the_policy_and_what_is_wrong_with_it():
    html = render(
        "admin.html",
        frame("admin", is_admin=True),
        tabs=(),
        now=NowPage((), (), ()),
        page=admin.AdminPage(policy=panel(trouble=f"It is wrong. {HOSTILE}")),
    )
    for text in ("Policy of the queue", "Version 3", "GPUs kept for classes", "ada (2 GPUs)", "It is wrong.", "shipped: 6h"):
        assert text in html.replace(NO_BREAK, " ")
    assert HOSTILE not in html


def test_shipped_policy_has_nothing_to_compare():
    shown = policy_panel(SHIPPED, version=0, applied_at=None, applied_by="", trouble="", opened=(), catalog=CATALOG, now=NOW)
    assert (shown.version, shown.changes, shown.windows) == ("As shipped", (), ())
