"""Pages with a cluster's words: what is free and may come, what no node has, how a pod's start goes and fails."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from aiplatform_hub.errors import StartFailedError
from aiplatform_hub.hub.refusals import refusal
from tests.api.place import Place
from tests.browser.cluster_place import LONG_NODE, OTHER, STUDENT, ClusterHub
from tests.browser.test_every_page import ASPECTS, findings, overflow
from tests.support.hub import ADMIN, PASSWORD, real_hub

PAGES = {
    STUDENT: {
        "home": "1 of 4 free, 1 out of order, 4 more in about 6 min",
        "launch?environment_template=a100&gpus=2&gpu_type=a100": "No node has 8 × NVIDIA A100; the largest has 2.",
        "launch?environment_template=a100&gpus=3&gpu_type=a100": "No node has 3 × NVIDIA A100; the largest has 2.",
        "launch?environment_template=trivial&gpus=1&gpu_type=h100": "Free now",
    },
    OTHER: {"launch?environment_template=a100&gpus=2&gpu_type=a100": "It starts on a new node, in about 6 min."},
    ADMIN: {"admin": f"{LONG_NODE}/nvidia.com/gpu/1"},
}
"""Words that each page must show, by its address and who looks."""
STEPS = (
    "Asking the cluster for a place (0 s so far)",
    "Waiting for a node with 2 × NVIDIA A100 (41 s so far)",
    "Pulling the image (3.1 GiB, 73 s so far)",
    "The environment's image could not be pulled. Ask an administrator. Trying again (80 s so far)",
    "Mounting your home folder (84 s so far)",
)
FAILURE = "The storage class premium-rwo-replicated-in-three-zones for home folders does not exist. An administrator needs to name another."


@pytest.fixture(scope="module")
def place() -> Iterator[ClusterHub]:
    with real_hub(ClusterHub) as hub:
        service = Place(hub)
        try:
            service.start()
            hub.fill()
            yield hub
        finally:
            service.stop()


@pytest.fixture(params=ASPECTS, ids=lambda aspect: f"{aspect[0]}-{aspect[1]}")
def aspect(request: pytest.FixtureRequest) -> tuple[int, str]:
    width, theme = request.param
    return width, theme


def visit(place: ClusterHub, browser: Browser, user: str, aspect: tuple[int, str]) -> Page:
    width, theme = aspect
    context = browser.new_context(base_url=place.url, viewport={"width": width, "height": 800}, color_scheme="dark" if theme == "dark" else "light")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto("/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url("**/services/platform/home")
    return page


def look(page: Page, name: str) -> list[str]:
    """Return what is wrong with the page as it is; with AIPLATFORM_PICTURES, a folder, keep a picture of it."""
    page.wait_for_timeout(300)
    if folder := os.environ.get("AIPLATFORM_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    return [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]


@pytest.mark.parametrize("user", PAGES)
def test_pages_of_a_cluster_fit_and_are_accessible(place: ClusterHub, chromium: Browser, user: str, aspect: tuple[int, str]) -> None:
    page = visit(place, chromium, user, aspect)
    faults = {}
    for number, (address, words) in enumerate(PAGES[user].items()):
        page.goto(f"/services/platform/{address}")
        expect(page.locator("main")).to_contain_text(words)
        faults[address] = look(page, f"{user}-{number}-{aspect[0]}-{aspect[1]}")
    page.context.close()
    assert {address: found for address, found in faults.items() if found} == {}


def test_a_start_in_a_cluster_fits_and_is_accessible(place: ClusterHub, chromium: Browser, aspect: tuple[int, str]) -> None:
    page = visit(place, chromium, OTHER, aspect)
    name = f"slow-{aspect[0]}-{aspect[1]}"
    events = [{"progress": 30 + 10 * number, "message": words} for number, words in enumerate(STEPS)]
    events.append({"progress": 100, "failed": True, "message": FAILURE, "html_message": f"<p>{FAILURE}</p>"})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    page.route("**/progress?**", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    page.goto(f"/services/platform/launch?environment_template=slow&gpus=0&server_name={name}")
    page.click("#start")
    page.wait_for_url("**/hub/spawn-pending/**")
    expect(page.locator("#progress-message")).to_contain_text("premium-rwo")
    expect(page.locator("#progress-log")).to_contain_text(STEPS[1])
    expect(page.get_by_text("It goes on starting")).to_be_hidden()
    expect(page.get_by_text("It did not start")).to_be_visible()
    faults = look(page, f"pending-{aspect[0]}-{aspect[1]}")
    page.context.close()
    assert faults == []


def test_a_failed_start_in_a_cluster_fits_and_is_accessible(place: ClusterHub, chromium: Browser, aspect: tuple[int, str]) -> None:
    page = visit(place, chromium, OTHER, aspect)
    name = f"failing-{aspect[0]}-{aspect[1]}"
    place.start_server(OTHER, name, {"environment_template": "failing", "gpus": 0})
    page.goto(f"/user/{OTHER}/{name}/")
    html = str(refusal(StartFailedError(FAILURE), "/").jupyterhub_html_message)
    page.locator("[role=alert]").evaluate("(place, html) => { place.innerHTML = html; }", html)
    faults = look(page, f"failed-{aspect[0]}-{aspect[1]}")
    page.context.close()
    assert faults == []
