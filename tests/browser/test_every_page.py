"""Every page: no sideways scrolling, no serious accessibility finding, no script error."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor

ASPECTS = ((360, "dark"), (1280, "light"))
"""Both widths and both colour schemes; what depends on both at once is for the eye, in the pictures."""


def findings(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    return [f"{v['id']}: {[n['target'] for n in v['nodes']][:3]}" for v in results if v["impact"] in {"serious", "critical"}]


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_pages_fit_and_are_accessible_while_something_runs(visitor: Visitor) -> None:
    owner = visitor.open("researcher", width=360)
    owner.goto("/services/platform/launch?environment_template=jupyterlab&gpus=2&server_name=a-name-of-thirty-characters-xx")
    owner.click("#start")
    owner.wait_for_url("**/hub/spawn-pending/**")
    faults = {"pending": findings(owner)}
    owner.wait_for_url("**/user/researcher/**", timeout=40_000)
    owner.goto("/services/platform/home")
    session = owner.locator("[data-state=running] h3 a").get_attribute("href") or ""
    admin = visitor.open("admin", width=360)
    for page, address in (
        (owner, "/services/platform/home"),
        (owner, session),
        (owner, f"{session}/stop"),
        (owner, "/services/platform/launch?gpus=4"),
        (owner, "/services/platform/usage"),
        (admin, "/services/platform/admin"),
        (admin, session),
    ):
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(address)
            page.wait_for_timeout(300)
            faults[f"{address} {width}"] = [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]
    assert {address: found for address, found in faults.items() if found} == {}


def test_targets_are_large_enough_on_a_phone(visitor: Visitor) -> None:
    page = visitor.open("student", width=360)
    for address in ("/services/platform/home", "/services/platform/launch", "/services/platform/usage"):
        page.goto(address)
        seen = 0
        for box in page.locator("a.btn, button, .ap-nav__links a, select, summary, input:not([type=hidden])").all():
            size = box.bounding_box() if box.is_visible() else None
            if size is None:  # hidden, or replaced by a page that moves
                continue
            seen += 1
            assert size["height"] >= 43.5, f"{address}: {box.inner_text() or box.get_attribute('id')} is {size['height']} px high"
        assert seen >= 5, f"{address} has its links and buttons"


def test_only_files_of_this_origin_run(visitor: Visitor) -> None:
    page = visitor.open("student")
    reply = page.goto("/services/platform/home")
    assert reply
    policy = reply.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_admin_page_is_unknown_to_students(visitor: Visitor) -> None:
    page = visitor.open("student")
    reply = page.goto("/services/platform/admin")
    assert reply
    assert reply.status == 404
    expect(page.locator("nav")).not_to_contain_text("Admin")


def test_visiting_a_server_that_never_was_leads_to_launch(visitor: Visitor) -> None:
    page = visitor.open("student")
    page.goto("/user/student/my-work/")
    expect(page.locator("h1")).to_have_text("This server is not running")
    page.click("#start")
    page.wait_for_url(re.compile(r"/services/platform/launch$"))


def test_demo_says_so_on_every_page(visitor: Visitor) -> None:
    page = visitor.open(None)
    page.goto("/hub/login")
    expect(page.locator(".ap-notice")).to_contain_text("nothing computes on a GPU here")
    expect(page.locator(".ap-notice")).to_contain_text("neither from each other nor from the hub, its secrets and the ledger")
