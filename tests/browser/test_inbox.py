"""Notifications above every page: they come by the stream, stand in the tab's title, and go by keyboard and without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.test_every_page import ASPECTS, findings, overflow
from tests.browser.test_queue_pages import hold, join

PAGES = "/services/platform/"
ENTRY = "#inbox [data-notice]"


@pytest.fixture
def waiting(visitor: Visitor) -> Iterator[tuple[Page, Page]]:
    """The student waits for GPUs that the researcher holds."""
    holder = hold(visitor, 4)
    page = visitor.open("student")
    page.goto(f"{PAGES}home")
    entries = page.locator(ENTRY)
    for left in range(entries.count(), 0, -1):  # of scenes before
        entries.first.locator("button").click()
        expect(entries).to_have_count(left - 1)
    join(page)
    yield page, holder


def test_news_comes_to_a_page_on_which_nothing_moves_and_goes_by_keyboard(waiting: tuple[Page, Page]) -> None:
    page, holder = waiting
    page.goto(f"{PAGES}usage")
    expect(page.locator(ENTRY)).to_have_count(0)
    page.evaluate("window.isTheSamePage = true")
    stop_everything(holder)
    entry = page.locator(ENTRY)
    expect(entry).to_contain_text("Your turn has come: JupyterLab (waits)", timeout=60_000)
    expect(entry).to_contain_text("Open it by ")
    expect(entry.locator("time")).not_to_contain_text("UTC")
    expect(page).to_have_title("Your turn has come: JupyterLab (waits)")
    page.keyboard.press("Shift")
    expect(page).to_have_title(re.compile(r"^Usage"))
    entry.locator("button").focus()
    page.keyboard.press("Enter")
    expect(entry).to_have_count(0)
    expect(page.locator("h1")).to_be_focused()
    assert page.evaluate("window.isTheSamePage") is True
    page.goto(f"{PAGES}home")
    expect(page.locator(ENTRY)).to_have_count(0)


def test_news_is_there_and_goes_without_scripts(visitor: Visitor, waiting: tuple[Page, Page], tmp_path: Path) -> None:
    page, holder = waiting
    stop_everything(holder)
    expect(page.locator(ENTRY)).to_contain_text("Your turn has come", timeout=60_000)
    for width, theme in ASPECTS:
        looking = visitor.open("student", width=width, theme=theme)
        looking.goto(f"{PAGES}usage")
        expect(looking.locator(ENTRY)).to_be_visible()
        assert overflow(looking) <= 0
        assert findings(looking) == []
        looking.screenshot(path=tmp_path / f"inbox-{width}-{theme}.png")
    plain = visitor.open("student", has_scripts=False)
    plain.goto(f"{PAGES}usage")
    plain.click(f"{ENTRY} button")
    plain.wait_for_url(f"**{PAGES}usage")
    expect(plain.locator(ENTRY)).to_have_count(0)
