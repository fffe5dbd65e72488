"""Used and idle time on the pages, of a session whose simulated GPUs a file moves."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE
from tests.browser.conftest import Visitor
from tests.browser.test_every_page import findings, overflow

WIDTHS = (360, 1280)
PATIENCE_MS = 90_000
"""The keeper looks every 15 s."""


@pytest.fixture
def script(visitor: Visitor) -> Iterator[None]:
    file = visitor.trial.folder / "data" / SCRIPT_FILE
    file.write_text(json.dumps({number: {"utilisation_percent": 70, "memory_gib": 6} for number in "0123"}))
    yield
    file.unlink()


def shown(page: Page, address: str, words: str) -> None:
    """Open a page until it shows some words: samples come without an event."""
    for _ in range(PATIENCE_MS // 3000):
        page.goto(address)
        if page.get_by_text(re.compile(words)).first.is_visible():
            return
        page.wait_for_timeout(3000)
    raise AssertionError(f"{address} never shows {words!r}")


@pytest.mark.usefixtures("script")
def test_pages_say_what_the_gpus_did(visitor: Visitor) -> None:
    owner, admin = visitor.open("researcher"), visitor.open("admin")
    owner.goto("/services/platform/launch?environment_template=jupyterlab&gpus=2&server_name=looks")
    owner.click("#start")
    owner.wait_for_url("**/user/researcher/**", timeout=90_000)
    owner.goto("/services/platform/home")
    session = owner.locator("[data-state=running] h3 a").first.get_attribute("href") or ""
    shown(owner, session, r"^Used:\s0\.0*[1-9]\d*\sGPU-hours")
    shown(admin, "/services/platform/admin", r"^70\s%$")
    expect(admin.get_by_text("6 GiB of 16 GiB").first).to_be_visible()
    owner.goto("/services/platform/usage")
    expect(owner.get_by_role("heading", name="What the GPUs did")).to_be_visible()
    faults = {}
    pages = ((owner, session), (owner, "/services/platform/usage"), (admin, "/services/platform/admin"))
    for (page, address), width, theme in itertools.product(pages, WIDTHS, ("light", "dark")):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        page.wait_for_timeout(300)
        faults[f"{address} {width} {theme}"] = [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]
    assert {address: found for address, found in faults.items() if found} == {}
