"""A live refresh while something is pressed: the click counts, and then what is new is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Response, expect

from tests.browser.live_support import is_refresh, live_place, reader

LONG_ENOUGH = 500
"""Milliseconds in which a swap that is not held off would have come."""


@pytest.fixture
def page(tmp_path: Path, chromium: Browser) -> Iterator[Page]:
    with live_place(tmp_path) as server, reader(server, chromium) as opened:
        yield opened


def is_about(path: str) -> Callable[[Response], bool]:
    """Return what finds the answer to a page's refresh."""
    return lambda response: f"/{path}" in response.url and is_refresh(response.request)


def mark(page: Page, selector: str) -> Locator:
    """Return what is there now of a part, as long as it is not replaced."""
    page.evaluate("selector => document.querySelector(selector).dataset.old = 'yes'", selector)
    return page.locator(f"{selector}[data-old]")


def refresh(page: Page, path: str, element: str, event: str) -> None:
    """Have a part read again as the stream does, and wait until the answer has been dealt with."""
    with page.expect_response(is_about(path)) as answer:
        page.evaluate("([element, event]) => htmx.trigger(element, event)", [element, event])
    answer.value.finished()
    page.wait_for_timeout(LONG_ENOUGH)


def press(page: Page, control: Locator) -> None:
    """Press the main button on a control and keep it pressed."""
    control.scroll_into_view_if_needed()
    box = control.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()


def test_box_that_is_pressed_during_a_refresh_is_checked_and_then_the_rows_are_new(page: Page) -> None:
    page.goto("admin")
    old = mark(page, "#live")
    press(page, page.locator("[data-pick]"))
    refresh(page, "admin", "#live", "live")
    expect(old).to_have_count(1)
    page.mouse.up()
    expect(page.locator("[data-pick]")).to_be_checked()
    expect(old).to_have_count(0)
    expect(page.locator("[data-pick]")).to_be_checked()


def test_stop_that_is_pressed_during_a_refresh_asks_and_then_home_is_new(page: Page) -> None:
    page.goto("home")
    old = mark(page, "#live")
    press(page, page.locator("a[data-stop]"))
    refresh(page, "home", "#live", "live")
    page.mouse.up()
    expect(page.locator("#confirm-dialog")).to_be_visible()
    expect(old).to_have_count(0)


def test_space_that_is_down_during_a_refresh_presses_its_button(page: Page) -> None:
    page.goto("home")
    old = mark(page, "#live")
    page.evaluate("document.querySelector('#live').addEventListener('click', () => (window.clicks = (window.clicks || 0) + 1))")
    page.locator("#live summary, #live button").first.focus()
    page.keyboard.down(" ")
    refresh(page, "home", "#live", "live")
    page.keyboard.up(" ")
    expect(old).to_have_count(0)
    assert page.evaluate("window.clicks") == 1


def test_choice_that_is_pressed_during_a_refresh_is_taken(page: Page) -> None:
    page.goto("launch?environment_template=jupyterlab&gpus=0")
    old = mark(page, "#choices")
    press(page, page.locator("label[for=gpus-1]"))
    refresh(page, "launch", "#launch", "fresh")
    expect(old).to_have_count(1)
    page.mouse.up()
    expect(page.locator("#gpus-1")).to_be_checked()
    expect(old).to_have_count(0)
    expect(page.locator("#gpus-1")).to_be_checked()


def test_answer_to_a_choice_of_ones_own_is_shown_while_something_is_pressed(page: Page) -> None:
    page.goto("launch?environment_template=jupyterlab&gpus=0")
    old = mark(page, "#choices")
    with page.expect_response(is_about("launch")):
        page.check("#gpus-1")
        press(page, page.locator("h1"))
    expect(old).to_have_count(0)
    page.mouse.up()


def test_release_that_nobody_heard_of_does_not_hold_a_page_for_ever(page: Page) -> None:
    page.clock.install()
    page.goto("home")
    old = mark(page, "#live")
    press(page, page.locator("h1"))
    refresh(page, "home", "#live", "live")
    expect(old).to_have_count(1)
    page.clock.fast_forward(10_000)
    expect(old).to_have_count(0)
    page.mouse.up()
