"""A page is read once: its stream tells at its opening only what happened since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.live_support import is_refresh, live_place, reader, run
from tests.support.page_server import ADMIN, PageServer

ENOUGH = 1500
"""Milliseconds in which what a stream begins with has had its effect."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    with live_place(tmp_path) as running:
        yield running


@pytest.fixture
def page(server: PageServer, chromium: Browser) -> Iterator[Page]:
    with reader(server, chromium) as opened:
        yield opened


@pytest.mark.parametrize("path", ["home", "launch?environment_template=jupyterlab", "admin", "policy"])
def test_page_is_not_read_again_when_nothing_has_happened_since(server: PageServer, page: Page, path: str) -> None:
    refreshes: list[str] = []
    page.on("request", lambda request: is_refresh(request) and refreshes.append(request.url))
    with page.expect_response("**/api/v1/events**"):
        page.goto(path)
    page.wait_for_timeout(ENOUGH)
    assert refreshes == []
    with page.expect_response(lambda response: is_refresh(response.request)):
        run(server.factory, ADMIN, "another")


def test_what_happens_between_a_page_and_its_stream_is_shown(server: PageServer, page: Page) -> None:
    held: list[Route] = []
    page.route("**/api/v1/events**", lambda route: held.append(route))  # noqa: PLW0108  Playwright marks what it is given
    page.goto("home")
    expect(page.locator("[data-state=running]")).to_have_count(1)
    while not held:
        page.wait_for_timeout(50)
    run(server.factory, ADMIN, "meanwhile")
    held.pop().continue_()
    expect(page.locator("[data-state=running]", has_text="meanwhile")).to_be_visible()
