"""What a page says of a session, it says once: its names, its warning, what to do first."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.names import is_same_name
from aiplatform_hub.domain.notices import Notice, NoticeKind, Subject, is_current, words
from aiplatform_hub.domain.release import ReleaseView
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.environments import HomePage, environment_card, warned_first
from aiplatform_hub.web.view_models.inbox import Inbox, beside, inbox
from tests.web.release_samples import BUSY, IDLE, KEPT, warned_card
from tests.web.samples import CATALOG, INTEREST, NOW, PATHS, QUEUED, RUNNING, frame
from tests.web.test_pages import waiting


@pytest.mark.parametrize(
    ("title", "server", "is_same"),
    [("trivial", "trivial", True), ("JupyterLab", "jupyterlab", True), ("Multi-GPU", "multi-gpu", True), ("PyTorch", "train", False), ("PyTorch", "", False)],
)
def test_one_name_is_one(title: str, server: str, is_same: bool) -> None:
    assert is_same_name(title, server) is is_same
    subject = Subject(title, server, "", "1a2b3c4d")
    assert (subject.name == title) is (is_same or not server)


def test_card_and_page_of_a_session_named_like_its_environment_say_it_once() -> None:
    card = environment_card(replace(RUNNING, server_name="pytorch"), cost=None, catalog=CATALOG, now=NOW, paths=PATHS)
    assert (card.name, card.own_name) == ("PyTorch", "")
    html = render("home.html", frame(), page=HomePage((card,), (), None, "", "Default", (), ()), problem=None)
    assert "PyTorch, pytorch" not in html
    assert 'data-title="Stop PyTorch?"' in html
    other = environment_card(RUNNING, cost=None, catalog=CATALOG, now=NOW, paths=PATHS)
    assert (other.name, other.own_name) == ("PyTorch, train-1", "train-1")


def told(*kinds: NoticeKind) -> Inbox:
    about = Subject("PyTorch", "train-1", "", "1a2b3c4d", NOW)
    notices = [Notice(number, "k", NOW, "ada", RUNNING.id, kind, {}) for number, kind in enumerate(kinds, 1)]
    return inbox([(notice, words(notice.kind, about)) for notice in notices], newest=9, is_waiting=False, paths=PATHS)


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("/services/platform/home", [2]),
        (f"/services/platform/sessions/{RUNNING.id}", [2]),
        (f"/services/platform/sessions/{UUID(int=99)}", [1, 2]),
        ("/services/platform/launch", [1, 2]),
    ],
)
def test_warning_stands_above_a_page_only_where_no_card_has_it(page: str, shown: list[int]) -> None:
    left = beside(told(NoticeKind.RELEASE_WARNING, NoticeKind.TURN_CAME), page, PATHS)
    assert [entry.id for entry in left.entries] == shown
    assert left.newest == 9


def test_warned_sessions_come_first() -> None:
    cards = [warned_card(BUSY, KEPT), waiting(), warned_card(RUNNING, IDLE)]
    assert [card.id for card in warned_first(cards)] == [cards[2].id, cards[0].id, cards[1].id]


@pytest.mark.parametrize(("view", "is_first"), [(IDLE, True), (KEPT, False)])
def test_warning_and_its_button_stand_above_what_else_could_be_launched(view: ReleaseView, is_first: bool) -> None:
    html = render("home.html", frame(), page=HomePage((warned_card(RUNNING, view),), (), None, "", "Default", (), ()), problem=None)
    assert (html.index('id="environment-') < html.index("Launch an environment")) is is_first
    assert html.count("Launch an environment") == 1


@pytest.mark.parametrize(("kept_for", "is_shown"), [(None, True), (5, True), (10, False), (120, False)])
def test_warning_goes_once_the_session_is_kept_beyond_it(kept_for: int | None, is_shown: bool) -> None:
    warning = Notice(1, "k", NOW, "ada", RUNNING.id, NoticeKind.RELEASE_WARNING, {"until": isoformat(NOW + timedelta(minutes=10))})
    session = replace(RUNNING, extended_until=None if kept_for is None else NOW + timedelta(minutes=kept_for))
    assert is_current(warning, session, NOW) is is_shown


def buttons(allocation: Allocation) -> dict[str, str]:
    html = render("home.html", frame(), page=HomePage((waiting(allocation),), (), None, "", "Default", (), ()), problem=None)
    return {name: look for look, name in re.findall(r'<button class="btn (btn-\w+)" id="(keep|now|fewer)-', html)}


def test_waiting_is_what_a_queued_card_offers_first() -> None:
    assert buttons(QUEUED) == {"now": "btn-quiet", "fewer": "btn-quiet"}
    asked = replace(QUEUED, confirmed_at=NOW - INTEREST / 24 * 20)
    assert buttons(asked) == {"keep": "btn-primary", "now": "btn-quiet", "fewer": "btn-quiet"}


def test_queued_card_says_that_nothing_has_to_be_done() -> None:
    html = render("home.html", frame(), page=HomePage((waiting(),), (), None, "", "Default", (), ()), problem=None)
    assert "It keeps its place and starts by itself when its turn comes" in html
    of_another = render("home.html", frame(), page=HomePage((waiting(reader="root"),), (), None, "", "Default", (), ()), problem=None)
    assert "keeps its place" not in of_another
