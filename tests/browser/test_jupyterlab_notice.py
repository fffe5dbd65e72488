"""A real JupyterLab behind the trial's hub says that its GPUs are about to be given back, and keeps them by a click."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.release_support import HOME, age, let_idle, run, still_idle
from tests.browser.test_release_pages import IDLE, OLD

NOTICE = ".jp-toast-message"


def lab(visitor: Visitor) -> Page:
    """Return a page with a JupyterLab in which nothing is open: it comes back with what an earlier test had opened."""
    page = run(visitor, "student", 1, "lab")
    page.goto(f"{page.url.partition('?')[0]}?reset")
    expect(page.locator(".jp-Launcher").first).to_be_visible(timeout=60_000)
    return page


def look_again(page: Page) -> None:
    """Let the page look now, as when somebody comes back to its tab; it looks each minute by itself."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def see(visitor: Visitor, page: Page, words: str) -> None:
    """Wait until JupyterLab says something."""
    notice = page.locator(NOTICE, has_text=words)
    for _ in range(9):
        still_idle(visitor)
        look_again(page)
        try:
            expect(notice).to_have_count(1, timeout=10_000)
        except AssertionError:
            continue
        return
    expect(notice).to_have_count(1)


def test_jupyterlab_warns_keeps_by_a_click_and_says_when_it_is_over(visitor: Visitor) -> None:
    page = lab(visitor)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    look_again(page)
    expect(page.locator(NOTICE, has_text="Your GPU")).to_have_count(0)
    age(visitor, "lab", OLD)
    let_idle(visitor, "lab", IDLE)
    see(visitor, page, "Your GPU has been idle for")
    expect(page.locator(NOTICE, has_text="Your GPU")).to_contain_text("they go as soon as somebody does")

    page.get_by_role("button", name="Keep it 2 h longer").click()
    expect(page.locator(NOTICE, has_text="Kept until")).to_have_count(1)
    expect(page.locator(NOTICE, has_text="Your GPU")).to_have_count(0)
    home = page.context.new_page()
    home.goto(HOME)
    expect(home.locator("[data-release-words]")).to_contain_text("You keep it until")
    assert errors == []


def test_jupyterlab_says_that_it_was_given_back(visitor: Visitor) -> None:
    page = lab(visitor)
    age(visitor, "lab", OLD)
    let_idle(visitor, "lab", IDLE)
    see(visitor, page, "Your GPU has been idle for")
    stop_everything(page.context.new_page())
    see(visitor, page, "This session has ended and its GPUs were given back.")
    page.add_locator_handler(page.locator(".jp-Dialog"), lambda dialog: dialog.get_by_role("button", name="Dismiss").click())  # JupyterLab's own
    with page.context.expect_page() as opened:
        page.get_by_role("button", name="Open Home").last.click()
    expect(opened.value.locator("h1")).to_have_text("Your environments")
