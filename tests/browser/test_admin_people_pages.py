"""Admin's pages below Now, as an admin uses them: in a real browser, with and without scripts, on a phone and on a desk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from aiplatform_hub.catalog.loader import DEMO_DIR
from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from tests.browser.admin_support import remember_weeks
from tests.browser.conftest import Trial, Visitor

ADMIN = "/services/platform/admin"
PAGES = ("people", "people/researcher", "projects", "efficiency", "health", "catalogue?as_user=guest", "audit")
LAST_DAY = (datetime.now(UTC) + timedelta(days=5)).date().isoformat()


@pytest.fixture(scope="module")
def weeks(trial: Trial) -> Iterator[Factory]:
    """Two weeks of use to look at."""
    factory = Factory(Settings(data_dir=trial.folder / "data", catalog_dirs=(DEMO_DIR,), simulated_gpus=4))
    remember_weeks(factory)
    yield factory
    factory.close()


def faults(page: Page) -> list[str]:
    results = Axe().run(page).response["violations"]
    found = [f"{v['id']}: {[n['target'] for n in v['nodes']][:3]}" for v in results if v["impact"] in {"serious", "critical"}]
    too_wide = int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
    return [*found, *([f"{too_wide} px too wide"] if too_wide > 0 else [])]


def keep_picture(page: Page, name: str) -> None:
    """Write a picture where somebody asked for them."""
    if folder := os.environ.get("AIPLATFORM_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1280, "light")])
def test_every_page_fits_and_is_accessible(visitor: Visitor, weeks: Factory, width: int, theme: str) -> None:
    page = visitor.open("admin", width=width, theme=theme)
    found = {}
    for address in PAGES:
        reply = page.goto(f"{ADMIN}/{address}")
        assert reply
        assert reply.status == 200, address
        expect(page.locator(".ap-tabs [aria-current=page]")).to_have_count(1)
        found[address] = faults(page)
        keep_picture(page, f"{address.partition('?')[0].replace('/', '-')}-{width}-{theme}")
        for box in page.locator("main a.btn, main button, main select, main summary, main input:not([type=hidden]), .ap-tabs a").all():
            size = box.bounding_box()
            assert size is None or size["height"] >= 43.5, f"{address}: {box.inner_text()}"
    assert {address: fault for address, fault in found.items() if fault} == {}


@pytest.mark.parametrize("has_scripts", [True, False])
def test_admin_grants_a_tier_and_takes_it_back(visitor: Visitor, weeks: Factory, has_scripts: bool) -> None:
    page = visitor.open("admin", width=360, has_scripts=has_scripts)
    page.goto(f"{ADMIN}/people")
    page.fill("#search", "stud")
    page.click("form[role=search] button")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.click("tbody th a")
    expect(page.locator("#limits + .ap-table-frame")).to_contain_text("tier Default, by default")
    page.select_option("#tier", "premium")
    page.fill("#last-day", "2020-01-01")
    page.fill("#reason", "thesis <b>deadline</b>")
    page.click("section[aria-labelledby=give] button")
    expect(page.locator("#expires_at-problem")).to_contain_text("in the past")
    expect(page.locator("#reason")).to_have_value("thesis <b>deadline</b>")
    expect(page.locator("#tier")).to_have_value("premium")
    page.fill("#last-day", LAST_DAY)
    page.click("section[aria-labelledby=give] button")
    done = page.locator(".ap-done")
    expect(done).to_contain_text("student has the tier Premium")
    expect(page.locator("#limits + .ap-table-frame")).to_contain_text("tier Premium, by a grant")
    expect(page.locator("section[aria-labelledby=who]")).to_contain_text("Granted by admin: thesis <b>deadline</b>")
    assert faults(page) == [] if has_scripts else True
    keep_picture(page, f"granted-{has_scripts}")
    done.locator("button").click()
    expect(done).to_contain_text("The grant of Premium has ended.")
    expect(page.locator("#limits + .ap-table-frame")).to_contain_text("tier Default, by default")
    done.locator("button").click()
    expect(done).to_contain_text("student has the tier Premium")
    page.goto(f"{ADMIN}/people")
    page.locator("section[aria-labelledby=grants] button").click()
    expect(done).to_contain_text("has ended")
    page.goto(f"{ADMIN}/audit?actor=admin")
    expect(page.locator("tbody tr").first).to_contain_text("revoke")
    weeks.grants.revoke("student", "test")


def test_twin_says_what_the_policy_would_do(visitor: Visitor, weeks: Factory) -> None:
    page = visitor.open("admin")
    page.goto(f"{ADMIN}/efficiency")
    expect(page.locator("section[aria-labelledby=ranking] tbody tr").first).to_contain_text("ben")
    page.click("#twin button")
    expect(page.locator("#twin table")).to_contain_text("Useful", timeout=90_000)
    expect(page.locator("#twin")).to_contain_text(re.compile(r"\d+\ssessions of the last"))
    keep_picture(page, "forecast")
    assert faults(page) == []


def test_these_pages_are_unknown_to_students(visitor: Visitor) -> None:
    page = visitor.open("student")
    for address in PAGES:
        reply = page.goto(f"{ADMIN}/{address}")
        assert reply
        assert reply.status == 404, address
