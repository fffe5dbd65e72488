"""Admin's first page: an admin sees what runs and waits, and acts on one or many; the owners read why."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visitor
from tests.browser.test_every_page import ASPECTS, findings, overflow

HOME = "/services/platform/home"
LAUNCH = "/services/platform/launch?environment_template=jupyterlab"
NOW = "/services/platform/admin"
TEXT = "the node is <img src=x onerror=window.isHurt=1> serviced"


@pytest.fixture
def line(visitor: Visitor) -> Iterator[tuple[Page, Page]]:
    """The researcher holds all four GPUs, and the student waits twice; each with their page."""
    holder, student = visitor.open("researcher"), visitor.open("student")
    holder.goto(f"{LAUNCH}&gpus=4&server_name=holder")
    holder.click("#start")
    holder.wait_for_url(re.compile("spawn-pending|/user/researcher/"))
    for name in ("first", "second"):
        student.goto(f"{LAUNCH}&gpus=1&server_name={name}")
        expect(student.locator("#start")).to_have_text("Join the queue")
        student.click("#start")
        student.wait_for_url(re.compile(r"/services/platform/home#environment-"))
        expect(student.locator("[data-state=queued]", has_text=name)).to_be_visible()
    expect(student.locator("[data-state=queued]", has_text="second")).to_contain_text("2nd in line")
    holder.goto(HOME)
    expect(holder.locator("[data-state=running]")).to_contain_text("holder", timeout=120_000)
    yield holder, student


def row(page: Page, text: str) -> Locator:
    """Return the row of a table that says something."""
    return page.locator("tbody tr", has_text=text)


def test_admin_moves_and_drains_without_scripts_and_the_owner_reads_why(visitor: Visitor, line: tuple[Page, Page]) -> None:
    _, student = line
    admin = visitor.open("admin", has_scripts=False)  # everything but the count of boxes works without scripts
    admin.goto(NOW)
    row(admin, "second of").get_by_role("link", name="Move up").click()
    expect(admin.locator("main")).to_contain_text("Whom it overtakes")
    expect(row(admin, "first")).to_contain_text("student")
    admin.fill("#reason", TEXT)
    admin.get_by_role("button", name="Move it to the front").click()
    expect(admin.locator("main .ap-alert[role=status]")).to_have_text("1 request was moved to the front.")
    expect(row(admin, "second of")).to_contain_text("moved up")
    expect(student.locator("[data-state=queued]", has_text="second")).to_contain_text(f"admin moved it to the front of the queue: {TEXT}", timeout=30_000)
    expect(student.locator("[data-state=queued]", has_text="first")).to_contain_text(f"An admin moved another request before it: {TEXT}", timeout=30_000)
    expect(student.locator("[data-state=queued]", has_text="second")).to_contain_text("Next in line", timeout=30_000)
    row(admin, "second of").get_by_role("button", name="Undo move").click()
    expect(admin.locator("main .ap-alert[role=status]")).to_have_text("1 request has its usual place again.")

    admin.get_by_role("link", name="Drain", exact=False).nth(1).click()
    expect(admin.locator("h1")).to_contain_text("Drain GPU 0")
    expect(row(admin, "holder")).to_contain_text("researcher")
    admin.fill("#reason", "a fan is loud")
    admin.get_by_role("button", name="Drain it").click()
    expect(row(admin, "drained, still held")).to_contain_text("by admin: a fan is loud")
    row(admin, "drained, still held").get_by_role("button", name="Undo drain").click()
    expect(admin.get_by_text("drained, still held")).to_have_count(0)

    admin.get_by_role("button", name="Stop or withdraw…").click()
    expect(admin.get_by_role("alert")).to_contain_text("Choose at least one session or request first")
    admin.goto(f"{NOW}?q=first")
    expect(admin.locator("main")).to_contain_text("No session is like that.")
    expect(row(admin, "first of")).to_have_count(1)
    expect(row(admin, "second of")).to_have_count(0)


def test_admin_stops_several_and_the_owners_read_the_message(visitor: Visitor, line: tuple[Page, Page]) -> None:
    holder, student = line
    admin = visitor.open("admin")
    admin.goto(NOW)
    expect(admin.locator("#stop-chosen")).to_be_disabled()
    for name in ("holder of", "first of"):
        row(admin, name).get_by_role("checkbox").check()
    admin.evaluate("document.body.dispatchEvent(new Event('live'))")
    admin.wait_for_load_state("networkidle")
    expect(admin.locator("[data-chosen-count]")).to_have_text("2 chosen")
    expect(row(admin, "holder of").get_by_role("checkbox")).to_be_checked()
    admin.click("#stop-chosen")
    expect(admin.locator("h1")).to_have_text("Stop these 2?")
    expect(admin.locator("main")).to_contain_text("everything only in memory, is lost")
    expect(admin.locator("main")).to_contain_text("leaves the queue and loses its place")
    admin.fill("#message", TEXT)
    admin.get_by_role("button", name="Stop all 2").click()
    expect(admin.locator("main .ap-alert[role=status]")).to_contain_text("2 sessions and requests are being stopped.")
    holder.goto(HOME)
    expect(holder.locator("#inbox")).to_contain_text(f"They say: “{TEXT}”", timeout=60_000)
    expect(holder.locator("[data-state=ended]").first).to_contain_text(f"An admin stopped it. They say: “{TEXT}”", timeout=60_000)
    holder.goto(holder.locator("[data-state=ended] h3 a").first.get_attribute("href") or "")
    expect(holder.locator("[data-why]")).to_contain_text("They say:")
    student.goto(HOME)
    expect(student.locator("#inbox")).to_contain_text("An admin took JupyterLab (first) out of the queue", timeout=60_000)
    for page in (holder, student, admin):
        assert not page.evaluate("window.isHurt"), "what people write never runs"


def test_pages_fit_and_are_accessible(visitor: Visitor, line: tuple[Page, Page]) -> None:
    admin = visitor.open("admin")
    admin.goto(NOW)
    links = [
        row(admin, "second of").get_by_role("link", name="Move up"),
        row(admin, "holder of").get_by_role("link", name="Stop"),
        admin.locator("[id^=drain-]").nth(1),
    ]
    pages = [NOW, f"{NOW}?q=nobody-is-called-so", f"{NOW}?idle=1", *(link.get_attribute("href") or "" for link in links), f"{NOW}/drain"]
    faults = {}
    for width, theme in ASPECTS:
        page = visitor.open("admin", width=width, theme=theme)
        for address in pages:
            page.goto(address)
            page.wait_for_timeout(300)
            faults[f"{address} {width} {theme}"] = [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]
        if width == min(width for width, _ in ASPECTS):
            page.goto(NOW)
            for box in page.locator("main a.btn, main button, main .ap-check, main input[type=search]").all():
                size = box.bounding_box()
                assert size is None or size["height"] >= 43.5, box.inner_text()
        page.context.close()
    assert {address: found for address, found in faults.items() if found} == {}
