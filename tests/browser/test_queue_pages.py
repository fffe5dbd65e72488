"""Waiting for GPUs that others hold: seen by those who wait, by those who watch, with and without scripts."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.test_every_page import ASPECTS, findings, overflow

HOME = "/services/platform/home"
LAUNCH = "/services/platform/launch?environment_template=jupyterlab"
QUEUED = "[data-state=queued]"
RUNNING = "[data-state=running]"


def hold(visitor: Visitor, gpus: int) -> Page:
    """Let the researcher hold GPUs; return their page."""
    page = visitor.open("researcher")
    page.goto(f"{LAUNCH}&gpus={gpus}&server_name=holder")
    page.click("#start")
    page.wait_for_url("**/user/researcher/holder/**", timeout=60_000)
    page.goto(HOME)
    return page


def join(page: Page, gpus: int = 2, name: str = "waits") -> None:
    """Let somebody join the queue."""
    page.goto(f"{LAUNCH}&gpus={gpus}&server_name={name}")
    expect(page.locator("#start")).to_have_text("Join the queue")
    page.click("#start")
    page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
    expect(page.locator(QUEUED)).to_contain_text(name)


@pytest.fixture
def holder(visitor: Visitor) -> Iterator[Page]:
    """The researcher holds all four GPUs."""
    yield hold(visitor, 4)


def test_second_person_waits_and_starts_when_the_first_stops(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    page.goto(f"{LAUNCH}&gpus=2&server_name=waits")
    expect(page.locator("label[for=gpus-2]")).to_contain_text(re.compile("queue, next in line|about"))  # by whether sessions have ended here before
    expect(page.locator("label[for=gpus-3]")).to_contain_text("over your limit: 2")
    expect(page.locator("#outcome")).to_contain_text("Starts by itself when its turn comes; you may close this page.")
    join(page)
    card = page.locator(QUEUED)
    expect(card).to_contain_text("Next in line", timeout=30_000)
    expect(card).to_contain_text("Waiting for 2")
    expect(card).to_contain_text("Kept until")
    page.evaluate("window.isTheSamePage = true")
    stop_everything(holder)
    expect(page.locator("#news")).to_contain_text("waits is ready", timeout=60_000)
    expect(page.locator(RUNNING)).to_contain_text("waits")
    expect(page).to_have_title(re.compile(r"^Ready: JupyterLab, waits"))
    assert page.evaluate("window.isTheSamePage") is True
    page.keyboard.press("Tab")
    expect(page).to_have_title(re.compile(r"^Home"))
    expect(page.locator(RUNNING)).to_contain_text("or it goes to whoever is next in line. Then it runs at least until")
    page.click(f"{RUNNING} h3 a")
    for words in ("it joined the queue", "Its turn came", "The program began to run"):
        expect(page.locator(".ap-timeline")).to_contain_text(words)


def test_hidden_page_says_in_its_title_that_the_turn_has_come(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/events" in request.url else None)
    join(page)
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => true })")
    page.reload()
    page.wait_for_load_state()
    streams.clear()
    page.evaluate("window.isTheSamePage = true")
    stop_everything(holder)
    expect(page).to_have_title(re.compile(r"^(Starting|Ready): JupyterLab, waits"), timeout=60_000)
    assert page.evaluate("window.isTheSamePage") is True
    assert streams == [], "a page that nobody sees keeps no stream open"


def test_place_moves_up_without_a_reload(visitor: Visitor, holder: Page) -> None:
    first, second = visitor.open("researcher"), visitor.open("student")
    join(first, 1, "before")
    join(second, 1, "after")
    expect(second.locator(QUEUED)).to_contain_text(re.compile("in line"), timeout=30_000)
    second.evaluate("window.isTheSamePage = true")
    first.goto(HOME)
    first.locator(QUEUED).get_by_role("link", name="Withdraw").click()
    first.click("#confirm-yes")
    expect(second.locator(QUEUED)).to_contain_text("Next in line", timeout=30_000)
    assert second.evaluate("window.isTheSamePage") is True
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_fewer_gpus_start_at_once_in_place(visitor: Visitor) -> None:
    hold(visitor, 3)
    page = visitor.open("student")
    join(page)
    page.evaluate("window.isTheSamePage = true")
    page.get_by_role("button", name="Start with 1 GPU now").click()
    expect(page.locator(RUNNING)).to_contain_text("1 × Simulated GPU", timeout=60_000)
    assert page.evaluate("window.isTheSamePage") is True
    page.click(f"{RUNNING} h3 a")
    expect(page.locator(".ap-timeline")).to_contain_text("Asked for another number of GPUs")


def test_launch_page_follows_what_others_do(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    page.goto(f"{LAUNCH}&gpus=1")
    expect(page.locator("#start")).to_have_text("Join the queue")
    page.focus("#gpus-1")
    stop_everything(holder)
    expect(page.locator("#start")).to_have_text("Start", timeout=60_000)
    assert page.evaluate("document.activeElement.id") == "gpus-1"


def test_list_keeps_its_choice_while_others_move(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    join(page)
    card = page.locator(QUEUED)
    card.locator("select").select_option("0")
    other = visitor.open("admin")
    join(other, 1, "other")
    other.locator(QUEUED).get_by_role("link", name="Withdraw").click()
    other.click("#confirm-yes")
    expect(other.locator("[data-state=ended]").first).to_contain_text("You withdrew it")
    page.wait_for_timeout(1500)
    expect(card.locator("select")).to_have_value("0")
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_queue_works_without_scripts(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student", has_scripts=False)
    page.goto(f"{LAUNCH}&server_name=plain")
    page.check("#gpus-2")
    page.get_by_role("button", name="Show what is free for this choice").click()
    expect(page.locator("#outcome")).to_contain_text("next in line")
    page.get_by_role("button", name="Join the queue").click()
    page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
    page.locator(QUEUED).locator("select").select_option("1")
    page.get_by_role("button", name="Change").click()
    expect(page.locator(QUEUED)).to_contain_text("1 × Simulated GPU")
    page.locator(QUEUED).get_by_role("link", name="Withdraw").click()
    expect(page.locator("h1")).to_have_text("Withdraw JupyterLab, plain?")
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.locator("[data-state=ended]").first).to_contain_text("You withdrew it from the queue")
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_keyboard_alone_joins_and_withdraws(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    page.goto(f"{LAUNCH}&gpus=1&server_name=keys")
    page.focus("#gpus-1")
    with page.expect_response("**/services/platform/launch?**"):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#start")).to_have_text("Join the queue")
    page.focus("#start")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
    page.locator(QUEUED).get_by_role("link", name="Withdraw").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#confirm-dialog")).to_contain_text("loses its place")
    assert page.evaluate("document.activeElement.id") == "confirm-no"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("[data-state=ended]").first).to_contain_text("You withdrew it")
    expect(page.locator(QUEUED)).to_have_count(0)
    expect(page.locator("#confirm-dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.matches('#live *')"), "the keyboard is still on what moved"
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_admin_sees_the_queue_and_withdraws_from_it(visitor: Visitor, holder: Page) -> None:
    page, admin = visitor.open("student"), visitor.open("admin")
    admin.goto("/services/platform/admin")
    expect(admin.locator("section", has=admin.locator("#waiting"))).to_contain_text("Nobody waits.")
    join(page)
    row = admin.locator("tbody tr", has_text="waits")
    expect(row).to_contain_text("student", timeout=30_000)
    expect(row).to_contain_text("Waiting for 2", timeout=30_000)
    row.get_by_role("link", name="Withdraw").click()
    expect(admin.locator("#confirm-title")).to_have_text("Withdraw student: JupyterLab, waits?")
    admin.click("#confirm-yes")
    expect(page.locator("#news")).to_contain_text("An admin withdrew it from the queue", timeout=30_000)
    expect(page.locator("[data-state=ended]").first).to_contain_text("An admin withdrew it")
    admin.goto("/services/platform/admin/audit")
    expect(admin.get_by_text("withdraw_request").first).to_be_visible()
    expect(holder.locator(RUNNING)).to_have_count(1)


def age(visitor: Visitor, by: timedelta) -> None:
    """Let the last word of those who wait be older: nobody waits a day for a test."""
    path = visitor.trial.folder / "data" / "aiplatform.sqlite"
    with sqlite3.connect(path, timeout=10) as connection:
        connection.execute("UPDATE allocations SET confirmed_at = confirmed_at - ? WHERE state = 'queued'", (int(by.total_seconds() * 1_000_000),))


def test_owner_is_asked_whether_they_still_want_it(visitor: Visitor, holder: Page) -> None:
    page = visitor.open("student")
    join(page)
    expect(page.locator(QUEUED)).not_to_contain_text("Do you still want it?")
    age(visitor, timedelta(hours=20))
    page.reload()
    expect(page.locator(QUEUED)).to_contain_text("Do you still want it?")
    page.get_by_role("button", name="Keep waiting").click()
    expect(page.locator(QUEUED)).not_to_contain_text("Do you still want it?")
    page.click(f"{QUEUED} h3 a")
    expect(page.locator(".ap-timeline")).to_contain_text("Its owner still wants it")
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_change_that_comes_too_late_is_explained_on_the_page(visitor: Visitor, holder: Page) -> None:
    page, other = visitor.open("student"), visitor.open("student")
    join(page)
    address = page.locator(QUEUED).locator("form").first.get_attribute("action") or ""
    page.route(f"**{address}", lambda route: (stop_everything(other), route.continue_())[1])
    page.get_by_role("button", name="Change").click()
    expect(page.locator("#refusal [role=alert]")).to_contain_text("does not wait in the queue any more")
    expect(page.locator("[data-state=ended]").first).to_contain_text("You withdrew it")
    page.wait_for_timeout(1000)
    expect(page.locator("#refusal [role=alert]")).to_be_visible()
    expect(page.locator("#live")).to_have_attribute("hx-get", HOME)
    expect(holder.locator(RUNNING)).to_have_count(1)


def send(page: Page, address: str, **form: str) -> tuple[int, str]:
    """Post a form as the page's person, from the page they see."""
    reply = page.request.post(address, form=form, headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"})
    return reply.status, reply.text()


def test_nobody_else_and_no_other_site_changes_a_request(visitor: Visitor, holder: Page) -> None:
    page, admin = visitor.open("student"), visitor.open("admin")
    join(page)
    session = page.locator(QUEUED).locator("h3 a").get_attribute("href") or ""
    tokens = {one: one.locator("meta[name=xsrf]").get_attribute("content") or "" for one in (page, admin)}
    for action in ("gpus", "keep"):
        assert send(page, f"{session}/{action}", gpus="1", back="home")[0] == 403, "without its token"
        status, text = send(admin, f"{session}/{action}", gpus="1", back="home", _xsrf=tokens[admin])
        assert status == 403
        assert "only its owner changes a request" in text
        assert visitor.open("researcher").goto(f"{session}/{action}").status == 404
    for wrong in ("", "x", "-1", "1.5", "²", "99999"):
        status, text = send(page, f"{session}/gpus", gpus=wrong, back="home", _xsrf=tokens[page])
        assert status == 400, f"{wrong!r}: {text}"
        assert "Your environments" in text
    page.reload()
    expect(page.locator(QUEUED)).to_contain_text("2 × Simulated GPU")
    expect(holder.locator(RUNNING)).to_have_count(1)


def test_pages_of_the_queue_fit_and_are_accessible(visitor: Visitor) -> None:
    hold(visitor, 3)
    join(visitor.open("student"), 2, "a-name-of-thirty-characters-xx")
    age(visitor, timedelta(hours=20))
    faults = {}
    for width, theme in ASPECTS:
        page, admin = visitor.open("student", width=width, theme=theme), visitor.open("admin", width=width, theme=theme)
        page.goto(HOME)
        session = page.locator(QUEUED).locator("h3 a").get_attribute("href") or ""
        for seen, address in (
            (page, HOME),
            (page, session),
            (page, f"{session}/stop"),
            (page, f"{LAUNCH}&gpus=2"),
            (admin, "/services/platform/admin"),
            (admin, session),
        ):
            seen.goto(address)
            seen.wait_for_timeout(500)
            faults[f"{address} {width} {theme}"] = [*findings(seen), *([f"{overflow(seen)} px too wide"] if overflow(seen) > 0 else [])]
        page.context.close()
        admin.context.close()
    assert {address: found for address, found in faults.items() if found} == {}
