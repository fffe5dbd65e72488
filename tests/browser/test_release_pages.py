"""GPUs that are about to be given back: seen without a reload, kept by one click, with and without scripts."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.release_support import HOME, LAUNCH, RUNNING, WARNED, age, let_idle, run, see_warning, still_idle
from tests.browser.test_every_page import ASPECTS, findings, overflow

OLD, IDLE = timedelta(minutes=27), timedelta(minutes=9)
"""Two or three minutes before its guaranteed time is over, and nearly as long idle as GPUs may be."""


@pytest.fixture
def waiting(visitor: Visitor) -> Page:
    """The researcher holds all GPUs; the student waits for two of them."""
    run(visitor, "researcher", 4, "old")
    page = visitor.open("student")
    page.goto(f"{LAUNCH}&gpus=2&server_name=waits")
    page.click("#start")
    page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
    return page


def test_warning_appears_counts_down_and_is_called_off_by_one_click(visitor: Visitor, waiting: Page) -> None:
    page = visitor.open("researcher")
    card = page.locator(RUNNING)
    expect(card.locator("[data-release-words]")).to_contain_text("Runs at least until")
    expect(card.locator("[data-release-words]")).to_contain_text("Its GPUs go to who waits after 10 min idle, or from")
    page.evaluate("window.isTheSamePage = true")
    age(visitor, "old", OLD)
    let_idle(visitor, "old", IDLE)
    see_warning(visitor, page)
    expect(card).to_contain_text("Your GPUs have been idle for")
    expect(page.locator("#news")).to_contain_text("Your GPUs have been idle for")
    expect(page).to_have_title(re.compile("^Warning: JupyterLab, old"))
    still_idle(visitor)
    expect(card).to_contain_text("somebody waits for them")
    expect(card.locator("[data-countdown]")).to_have_text(re.compile(r"^(in \d min \d\d s|in \d+ s)$"))
    first = card.locator("[data-countdown]").inner_text()
    expect(card.locator("[data-countdown]")).not_to_have_text(first)
    card.get_by_role("button", name="Keep it").click()
    expect(card.locator("[data-release-words]")).to_contain_text("You keep it until")
    expect(page.locator(WARNED)).to_have_count(0)
    expect(page.locator("#news")).to_contain_text("You keep it until")
    assert page.evaluate("document.activeElement !== document.body"), "the keyboard is still on the page"
    assert page.evaluate("window.isTheSamePage") is True
    page.click(f"{RUNNING} h3 a")
    expect(page.locator("[data-release-words]")).to_contain_text("You keep it until")
    expect(waiting.locator("[data-state=queued]")).to_have_count(1)


FIRST_SCREEN = 640
"""Height of a small telephone."""


def test_warning_is_told_once_and_its_button_is_on_the_first_screen_of_a_telephone(visitor: Visitor) -> None:
    run(visitor, "researcher", 1, "old")
    page = visitor.open("researcher", width=360)
    age(visitor, "old", timedelta(hours=7))  # over its cap, which nothing calls off
    see_warning(visitor, page)
    expect(page.locator("#news p")).to_have_class("visually-hidden")
    launch = visitor.open("researcher", width=360)
    for _ in range(15):  # the keeper writes its notice by and by
        launch.goto(LAUNCH)
        if launch.locator("#inbox [data-notice]").count():
            break
        launch.wait_for_timeout(1000)
    expect(launch.locator("#inbox [data-notice]")).to_contain_text("is about to be stopped")
    for address in (HOME, page.locator(RUNNING).locator("h3 a").get_attribute("href") or ""):
        page.goto(address)
        expect(page.get_by_text("This session has run for 7 h").locator("visible=true")).to_have_count(1)
        expect(page.locator("#inbox [data-notice]")).to_have_count(0)
        place = page.get_by_role("button", name="Keep it").bounding_box()
        assert place is not None
        assert place["y"] + place["height"] <= FIRST_SCREEN, address


def test_warning_and_click_work_without_scripts(visitor: Visitor) -> None:
    run(visitor, "researcher", 1, "old")
    age(visitor, "old", OLD)
    let_idle(visitor, "old", IDLE)
    page = visitor.open("researcher", has_scripts=False)
    still_idle(visitor)
    page.goto(HOME)
    expect(page.locator(WARNED)).to_contain_text("Nobody waits for it now; from")
    page.click(f"{RUNNING} h3 a")
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator("h1")).to_have_text("JupyterLab")
    expect(page.locator("[data-release-words]")).to_contain_text("You keep it until")


def test_at_the_ceiling_the_button_says_why_it_is_off(visitor: Visitor) -> None:
    page = run(visitor, "researcher", 1, "old")
    age(visitor, "old", timedelta(hours=24, minutes=1))
    page.goto(HOME)
    see_warning(visitor, page)
    button = page.locator(WARNED).get_by_role("button", name="Keep it longer")
    expect(button).to_be_disabled()
    expect(button).to_have_accessible_description("It cannot be kept longer: 24 h is the most.")
    session = page.locator(RUNNING).locator("h3 a").get_attribute("href") or ""
    token = page.locator("meta[name=xsrf]").get_attribute("content") or ""
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    refused = page.request.post(f"{session}/extend", form={"back": "home", "_xsrf": token}, headers=headers)
    assert refused.status == 409
    assert "as long as extensions may carry it" in refused.text()
    assert "Your environments" in refused.text()


def test_nobody_else_and_no_other_site_keeps_a_session(visitor: Visitor) -> None:
    page = run(visitor, "researcher", 1, "old")
    page.goto(HOME)
    session = page.locator(RUNNING).locator("h3 a").get_attribute("href") or ""
    headers = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
    assert page.request.post(f"{session}/extend", form={"back": "home"}, headers=headers).status == 403, "without its token"
    other = visitor.open("student")
    token = other.locator("meta[name=xsrf]").get_attribute("content") or ""
    assert other.request.post(f"{session}/extend", form={"_xsrf": token}, headers=headers).status == 404
    page.goto(f"{session}/extend")
    expect(page.locator("h1")).to_have_text("JupyterLab")
    expect(page.locator("[data-release-words]")).not_to_contain_text("You keep it until")


def test_policy_page_says_what_becomes_of_own_sessions(visitor: Visitor) -> None:
    page = run(visitor, "researcher", 1, "old")
    page.goto(HOME)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Policy").click()
    expect(page.locator("h1")).to_have_text("What is given back when, and who is next")
    row = page.locator("#live tbody tr")
    expect(row).to_contain_text("Runs at least until")
    page.evaluate("window.isTheSamePage = true")
    age(visitor, "old", OLD)
    let_idle(visitor, "old", IDLE)
    still_idle(visitor)
    expect(row).to_contain_text("Your GPU has been idle for")
    assert page.evaluate("window.isTheSamePage") is True
    for words in ("done nothing for 10 min", "first 30 min", "has run for 6 h", "half of its weight in 3 days"):
        expect(page.locator("main")).to_contain_text(words)


def test_warnings_and_policy_fit_and_are_accessible(visitor: Visitor) -> None:
    run(visitor, "researcher", 1, "a-name-of-thirty-characters-xx")
    age(visitor, "a-name-of-thirty-characters-xx", timedelta(hours=24, minutes=1))
    faults = {}
    for width, theme in ASPECTS:
        page = visitor.open("researcher", width=width, theme=theme)
        see_warning(visitor, page)
        session = page.locator(RUNNING).locator("h3 a").get_attribute("href") or ""
        for address in (HOME, session, "/services/platform/policy"):
            page.goto(address)
            page.wait_for_timeout(500)
            faults[f"{address} {width} {theme}"] = [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]
        page.context.close()
    assert {address: found for address, found in faults.items() if found} == {}
