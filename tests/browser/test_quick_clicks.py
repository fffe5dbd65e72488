"""The Launch page under quick hands: the network is slow, and the person does not wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from aiplatform_hub.domain.units import GIB
from tests.api.place import Place
from tests.support.hub import PASSWORD, RealHub, real_hub

LAUNCH = "/services/platform/launch"
REFRESH = "**/services/platform/launch?**"
START = "**/services/platform/api/v1/allocations"
PERSON = "user1"


@pytest.fixture(scope="module")
def hub() -> Iterator[RealHub]:
    with real_hub() as running:
        place = Place(running)
        try:
            place.start()
            yield running
        finally:
            place.stop()


@pytest.fixture
def page(hub: RealHub, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(base_url=hub.url, viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(45_000)
    opened.goto("/hub/login")
    opened.fill("#username_input", PERSON)
    opened.fill("#password_input", PASSWORD)
    opened.click("#login_submit")
    opened.wait_for_url("**/services/platform/home")
    yield opened
    context.close()


class Held:
    """Requests that wait in the network until they are let go; those sent later, as on news from the server, go through."""

    def __init__(self, page: Page, pattern: str) -> None:
        self.page = page
        self.routes: list[Route] = []
        self.is_open = False
        page.route(pattern, lambda route: self._take(route))  # noqa: PLW0108  Playwright marks what it is given

    def _take(self, route: Route) -> None:
        if self.is_open:
            route.continue_()
        else:
            self.routes.append(route)

    def wait(self, count: int = 1) -> None:
        """Wait until so many have been sent."""
        for _ in range(100):
            if len(self.routes) >= count:
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{len(self.routes)} of {count} requests were sent")

    def let_go(self) -> None:
        self.is_open = True
        while self.routes:
            self.routes.pop(0).continue_()


def test_quick_click_on_another_template_starts_with_that_templates_memory(hub: RealHub, page: Page) -> None:
    page.goto(f"{LAUNCH}?environment_template=jupyterlab&gpus=2&memory_gib=9&cpu_cores=3&server_name=quick")
    expect(page.locator("#memory_gib")).to_have_value("9")
    refreshes = Held(page, REFRESH)
    page.check("#template-trivial")
    refreshes.wait()
    pending = Held(page, "**/hub/spawn-pending/**")
    page.click("#start")
    pending.wait()
    refreshes.let_go()
    page.wait_for_timeout(500)
    pending.let_go()
    page.wait_for_url("**/user/user1/quick/**")
    [allocation] = [one for one in hub.open_allocations() if one.server_name == "quick"]
    request = allocation.request
    assert (request.environment_template, request.gpus, request.memory_bytes, request.cpu_cores) == ("trivial", 0, GIB, 1)
    assert hub.stop_server(PERSON, "quick").ok


def test_second_click_while_a_start_is_asked_for_asks_for_no_other(page: Page) -> None:
    page.goto(f"{LAUNCH}?environment_template=trivial&gpus=0&server_name=Not-A-Name")
    starts = Held(page, START)
    page.click("#start")
    starts.wait()
    page.check("#gpus-1")
    expect(page.locator("#outcome")).to_contain_text("per hour")
    expect(page.locator("#start")).to_be_enabled()
    page.click("#start")
    page.wait_for_timeout(300)
    assert len(starts.routes) == 1
    starts.let_go()
    expect(page.locator("#problem [role=alert]")).to_contain_text("1 to 30 characters")


@pytest.mark.parametrize("is_under_way", [True, False], ids=["refresh-under-way", "refresh-comes-after-start"])
def test_refresh_leaves_a_refusal_on_the_page(page: Page, is_under_way: bool) -> None:
    page.goto(f"{LAUNCH}?environment_template=trivial&gpus=0&server_name=Not-A-Name")
    refreshes, starts = Held(page, REFRESH), Held(page, START)
    page.check("#gpus-1")
    if is_under_way:
        refreshes.wait()
    page.click("#start")
    starts.wait()
    page.wait_for_timeout(200)
    starts.let_go()
    alert = page.locator("#problem [role=alert]")
    expect(alert).to_contain_text("1 to 30 characters")
    refreshes.let_go()
    page.wait_for_timeout(1000)
    expect(alert).to_contain_text("1 to 30 characters")
    expect(page.locator("#gpus-1")).to_be_checked()


def test_choices_follow_a_quick_click_also_when_the_start_was_refused(page: Page) -> None:
    page.goto(f"{LAUNCH}?environment_template=jupyterlab&gpus=0&memory_gib=9&server_name=Not-A-Name")
    refreshes = Held(page, REFRESH)
    page.check("#template-trivial")
    refreshes.wait()
    page.click("#start")
    alert = page.locator("#problem [role=alert]")
    expect(alert).to_contain_text("1 to 30 characters")
    refreshes.let_go()
    expect(page.locator("#memory_gib")).to_have_value("1")
    expect(page.locator("#gpus-0")).to_be_checked()
    expect(alert).to_contain_text("1 to 30 characters")


def test_another_choice_takes_a_refusal_off_the_page(page: Page) -> None:
    page.goto(f"{LAUNCH}?environment_template=trivial&gpus=0&server_name=Not-A-Name")
    page.click("#start")
    expect(page.locator("#problem [role=alert]")).to_contain_text("1 to 30 characters")
    page.fill("#server_name", "a-name")
    page.locator("#server_name").press("Tab")
    expect(page.locator("#problem")).to_be_empty()


def test_late_answer_about_an_earlier_choice_changes_nothing(page: Page) -> None:
    page.clock.install()
    page.goto(f"{LAUNCH}?environment_template=jupyterlab&gpus=0&memory_gib=9")
    refreshes = Held(page, REFRESH)
    page.check("#gpus-2")
    page.clock.fast_forward(100)
    refreshes.wait()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.check("#template-trivial")
    refreshes.let_go()
    page.wait_for_timeout(500)
    expect(page.locator("#memory_gib")).to_have_value("")
    page.clock.resume()
    expect(page.locator("#memory_gib")).to_have_value("1")
    expect(page.locator("#gpus-0")).to_be_checked()
