"""Home over a day: what admins tell, a start, its end, the same again, and a list that its owner keeps tidy."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.test_every_page import ASPECTS, findings, overflow

HOME = "/services/platform/home"
ANNOUNCEMENTS = "/services/platform/admin/announcements"
ENDED = "[data-state=ended]"
RUNNING = "[data-state=running]"


def field_time(hours: float) -> str:
    return f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M}"


def announce(page: Page, text: str, level: str, *, ahead_hours: float | None = None) -> None:
    page.goto(ANNOUNCEMENTS)
    page.fill("#text", text)
    page.select_option("#level", level)
    if ahead_hours is not None:
        page.fill("#starts_at", field_time(ahead_hours))
        page.check("[name=is_maintenance]")
    page.fill("#ends_at", field_time((ahead_hours or 0) + 2))
    page.click("#announce")
    expect(page.locator("table")).to_contain_text(text)


def withdraw_all(page: Page) -> None:
    page.goto(ANNOUNCEMENTS)
    while page.locator("[id^=withdraw-]").count():
        page.locator("[id^=withdraw-]").first.click()
        expect(page.locator("#undo-1, [id^=undo-]")).to_be_visible()


@pytest.fixture
def told(visitor: Visitor):
    """Two announcements: one for now, one of maintenance in five hours."""
    admin = visitor.open("admin")
    announce(admin, "The cooling is repaired.", "warning", ahead_hours=5)
    announce(admin, "The disk is nearly full: delete what you can.", "critical")
    yield admin
    withdraw_all(visitor.open("admin", has_scripts=False))


def start(page: Page, name: str, gpus: int) -> None:
    page.goto(f"/services/platform/launch?environment_template=jupyterlab&gpus={gpus}&server_name={name}")
    page.click("#start")
    page.wait_for_url(f"**/user/*/{name}/**", timeout=60_000)
    page.goto(HOME)
    expect(page.locator(RUNNING)).to_contain_text(name)


def test_open_page_shows_what_an_admin_tells_and_one_browser_hides_it(visitor: Visitor) -> None:
    reader, admin = visitor.open("student"), visitor.open("admin")
    expect(reader.locator("main h1")).to_be_visible()
    with reader.expect_response(re.compile("/announcements$"), timeout=60_000):
        announce(admin, "The hub restarts at noon.", "warning")
    banner = reader.locator("#announcements")
    expect(banner).to_contain_text("Warning: The hub restarts at noon.")
    reader.evaluate("window.isTheSamePage = true")
    banner.get_by_role("button", name=re.compile("^Hide")).click()
    expect(banner).not_to_contain_text("The hub restarts")
    assert reader.evaluate("window.isTheSamePage") is True
    reader.goto("/services/platform/launch")
    expect(reader.locator("#announcements")).not_to_contain_text("The hub restarts")
    plain = visitor.open("student", has_scripts=False)
    expect(plain.locator("#announcements")).to_contain_text("The hub restarts")
    plain.get_by_role("button", name=re.compile("^Hide this")).click()
    plain.wait_for_url(f"**{HOME}")
    expect(plain.locator("#announcements")).not_to_contain_text("The hub restarts")
    withdraw_all(admin)
    admin.click("[id^=undo-]")
    expect(admin.locator("table tbody tr").first).to_contain_text("Shown now")
    withdraw_all(admin)


def test_start_that_reaches_into_maintenance_is_told_so(visitor: Visitor, told: Page) -> None:
    page = visitor.open("student")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&max_hours=2")
    expect(page.locator("#choices")).not_to_contain_text("The cooling")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&max_hours=8")
    expect(page.locator("#choices")).to_contain_text("while it may still run: The cooling is repaired.")
    start(page, "meets", 1)
    expect(page.locator(RUNNING)).to_contain_text("while it may still run: The cooling is repaired.")
    stop_everything(page)


@pytest.mark.parametrize("has_scripts", [True, False], ids=["scripts", "no scripts"])
def test_ended_card_says_what_again_would_be_and_can_be_hidden_and_brought_back(visitor: Visitor, *, has_scripts: bool) -> None:
    page = visitor.open("student")
    start(page, "tidy", 1)
    expect(page.locator(RUNNING)).to_contain_text("Cost so far")
    expect(page.locator(RUNNING)).to_contain_text("Use of its GPUs in the last hour")
    expect(page.locator(".ap-quotas")).to_contain_text("Used by tidy")
    stop_everything(page)
    if not has_scripts:
        page = visitor.open("student", has_scripts=False)
    page.goto(HOME)
    card = page.locator(ENDED).filter(has_text="tidy").first
    expect(card).to_contain_text(re.compile("per hour, starts at once"))
    name = card.get_attribute("id") or ""
    page.evaluate("window.isTheSamePage = true") if has_scripts else None
    card.get_by_role("button", name=re.compile("^Hide")).click()
    expect(page.locator(f"#{name}")).to_have_count(0)
    expect(page.locator("#live")).to_contain_text("is off this list. Usage and costs keep it.")
    page.click("#unhide")
    expect(page.locator(f"#{name}")).to_have_count(1)
    expect(page.locator("#unhide")).to_have_count(0)
    if has_scripts:
        assert page.evaluate("window.isTheSamePage") is True


def test_every_state_fits_and_is_accessible(visitor: Visitor, told: Page) -> None:
    holder = visitor.open("researcher")
    start(holder, "holder", 4)
    page = visitor.open("student")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&server_name=waits")
    page.click("#start")
    page.wait_for_url(re.compile("/home#environment-"))
    expect(page.locator("section[aria-labelledby=free]")).to_contain_text("1 request waits")
    faults = {}
    for who, address, aspects in ((page, HOME, ASPECTS), (holder, HOME, ASPECTS[:1]), (told, ANNOUNCEMENTS, ASPECTS[::3])):
        for width, theme in aspects:
            who.set_viewport_size({"width": width, "height": 800})
            who.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            who.goto(address)
            expect(who.locator("#announcements")).to_contain_text("The disk is nearly full")
            faults[f"{address} {width} {theme}"] = [*findings(who), *([f"{overflow(who)} px too wide"] if overflow(who) > 0 else [])]
    assert {state: found for state, found in faults.items() if found} == {}
