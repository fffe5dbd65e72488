"""A newcomer's path, a person without a mouse, one without scripts, and what a first view weighs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.support.hub import wait_for

PLATFORM = "/services/platform/"
RUNNING = "[data-state=running]"
LARGEST_FIRST_VIEW = 150_000
"""Bytes of ours, with an empty cache; the hub's own files are the hub's."""
MOST_TABS = 60
COUNT_CLICKS = "document.addEventListener('pointerdown', () => sessionStorage.clicks = Number(sessionStorage.clicks || 0) + 1, true)"


def test_newcomer_has_a_running_notebook_after_three_clicks(visitor: Visitor, record_property: Callable[[str, object], None]) -> None:
    page = visitor.open("guest")
    page.add_init_script(COUNT_CLICKS)
    page.reload()
    began = time.monotonic()
    page.get_by_role("link", name=re.compile("^Launch ")).last.click()
    page.get_by_role("button", name=re.compile("^Start")).click()
    page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=90_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first).to_be_attached(timeout=90_000)
    seconds = time.monotonic() - began
    assert page.evaluate("Number(sessionStorage.clicks)") == 3
    record_property("newcomer_seconds", round(seconds, 1))
    print(f"login to running notebook: 3 clicks, {seconds:.1f} s")
    page.goto("about:blank")


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until what is looked for has the keyboard, and see that it shows that."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            shown = "getComputedStyle(document.activeElement.matches('.ap-choice input') ? document.activeElement.nextElementSibling : document.activeElement)"
            assert page.evaluate(f"{shown}.outlineStyle") != "none", f"{selector} does not show that it has the keyboard"
            return
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {selector}")


def test_keyboard_alone_logs_in_launches_and_stops(visitor: Visitor) -> None:
    visitor.users.add("student")
    page = visitor.open(None)
    page.goto("/hub/login")
    tab_to(page, "#username_input")
    page.keyboard.type("student")
    page.keyboard.press("Tab")
    page.keyboard.type(visitor.trial.passwords["student"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{PLATFORM}home")
    tab_to(page, f"main a[href$='{PLATFORM}launch']")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{PLATFORM}launch**")
    tab_to(page, "[type=radio][name=gpus]")
    before = page.evaluate("document.activeElement.value")
    with page.expect_response(f"**{PLATFORM}launch?**"):
        page.keyboard.press("ArrowRight")
    expect(page.locator(f"[type=radio][name=gpus][value='{int(before) + 1}']")).to_be_focused()
    tab_to(page, "#start")
    page.keyboard.press("Enter")
    page.wait_for_url("**/hub/spawn-pending/**", wait_until="commit", timeout=60_000)
    page.goto(f"{PLATFORM}home")
    expect(page.locator(RUNNING)).to_have_count(1, timeout=60_000)
    tab_to(page, "a[data-stop]")
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-no")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#confirm-yes")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("[data-state=ended]").first).to_contain_text("You stopped it", timeout=60_000)
    wait_for(lambda: page.evaluate("document.activeElement !== document.body"), "the keyboard is still on the page")


def test_launch_open_and_stop_without_scripts(visitor: Visitor) -> None:
    page = visitor.open("student", has_scripts=False)
    page.locator(f"main a[href$='{PLATFORM}launch']").click()
    page.check("#template-jupyterlab")
    page.check("#gpus-1")
    page.click("#start")
    page.wait_for_url("**/hub/spawn-pending/student/**")
    for _ in range(60):
        page.goto(f"{PLATFORM}home")
        if page.locator(RUNNING).count():
            break
        page.wait_for_timeout(500)
    card = page.locator(RUNNING)
    expect(card.get_by_role("link", name="Open")).to_have_attribute("href", re.compile("/user/student/"))
    card.get_by_role("link", name="Stop").click()
    expect(page.locator("main")).to_contain_text("everything only in memory, is lost")
    page.get_by_role("button", name="Stop it").click()
    page.wait_for_url(f"**{PLATFORM}home**")
    stop_everything(page)
    expect(page.locator("[data-state=ended]").first).to_contain_text("You stopped it")


@pytest.mark.parametrize("name", ["home", "launch", "usage", "policy", "admin"])
def test_first_view_of_a_page_is_light(visitor: Visitor, name: str) -> None:
    page = visitor.open("admin")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    addresses: dict[str, str] = {}
    weights: dict[str, int] = {}
    session.on("Network.responseReceived", lambda event: addresses.update({event["requestId"]: event["response"]["url"]}))
    session.on("Network.loadingFinished", lambda event: weights.update({event["requestId"]: int(event["encodedDataLength"])}))
    page.goto(f"{PLATFORM}{name}")
    page.wait_for_load_state()
    expect(page.locator("h1")).to_be_visible()
    ours = {addresses[id_].partition(PLATFORM)[2]: weight for id_, weight in weights.items() if PLATFORM in addresses.get(id_, "")}
    print(f"{name}: {sum(ours.values()) / 1000:.0f} kB {ours}")
    assert any("aiplatform.js" in address for address in ours)
    assert sum(ours.values()) <= LARGEST_FIRST_VIEW, ours
