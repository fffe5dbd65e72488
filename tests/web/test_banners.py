"""Announcements above a page, and what one browser has hidden of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiplatform_hub.web.no_breaks import NO_BREAK
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.announcements import announcement_row, banners, cookie_of, dismissed_ids
from tests.web.announcement_samples import CRITICAL, HOUR, INFO, OVER, WINDOW, WITHDRAWN
from tests.web.samples import HOSTILE, NOW, frame


def test_hidden_one_is_not_above_the_page_and_the_others_are() -> None:
    assert [banner.id for banner in banners((CRITICAL, WINDOW, INFO), frozenset({3}), NOW)] == [2, 1]


@pytest.mark.parametrize(
    ("cookie", "ids"), [("", set()), ("3", {3}), ("3.12", {3, 12}), ("x.3.-1.²", {3}), ("9" * 19, set())], ids=["none", "one", "two", "not ours", "too long"]
)
def test_cookie_of_a_browser_is_read_with_care(cookie: str, ids: set[int]) -> None:
    assert dismissed_ids(cookie) == ids


def test_cookie_forgets_what_nobody_sees_any_more() -> None:
    assert cookie_of(frozenset({1, 3, 99}), (CRITICAL, INFO)) == "3.1"


def test_maintenance_says_when_it_begins_and_once_it_is_on_when_it_ends() -> None:
    def words(moment) -> str:  # type: ignore[no-untyped-def]
        return render("_announcements.html", replace(frame(), announcements=banners((WINDOW,), frozenset(), moment))).replace(NO_BREAK, " ")

    assert "Maintenance from <time" in words(NOW)
    assert "Maintenance until <time" in words(NOW + HOUR)


def test_text_of_an_admin_never_becomes_markup() -> None:
    html = render("_announcements.html", replace(frame(), announcements=banners((INFO,), frozenset(), NOW)))
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("one", "state", "acts"),
    [
        (INFO, "Shown now", (True, False)),
        (replace(INFO, starts_at=NOW + HOUR / 2), "Not shown yet", (True, False)),
        (WITHDRAWN, "Withdrawn", (False, True)),
        (OVER, "Over", (False, False)),
        (replace(OVER, withdrawn_at=NOW), "Withdrawn", (False, False)),
    ],
)
def test_admins_list_says_what_becomes_of_each(one, state: str, acts: tuple[bool, bool]) -> None:  # type: ignore[no-untyped-def]
    row = announcement_row(one, NOW)
    assert (row.state, (row.can_withdraw, row.can_restore)) == (state, acts)
