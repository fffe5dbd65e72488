"""Launch: nothing jumps while choices change, choices are saved, shared and opened by link; Usage: the chart and its table. One stack for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.api.place import Place
from tests.support.hub import PASSWORD, RealHub, real_hub

PAGES = "/services/platform/"
LAUNCH = f"{PAGES}launch?environment_template=jupyterlab&gpus=1"
STILL = ("h1", "#template-jupyterlab", "#gpus-0", "#gpus-2", "#if_full", "#advanced", "#start")
"""What must stay where it is while choices change."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RealHub]:
    with real_hub(groups={"vision": ["user1"]}) as running:
        place = Place(running)
        try:
            place.start()
            yield running
        finally:
            place.stop()


def opened(hub: RealHub, chromium: Browser, *, user: str = "user1", width: int = 1280, has_scripts: bool = True) -> Page:
    context = chromium.new_context(base_url=hub.url, viewport={"width": width, "height": 900}, java_script_enabled=has_scripts)
    page = context.new_page()
    page.set_default_timeout(45_000)
    page.goto("/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")
    page.wait_for_url("**/services/platform/home")
    return page


def tops(page: Page) -> dict[str, float]:
    """Look at all of them at once: a refresh may put new ones in their places at any moment."""
    return page.evaluate(
        'names => { scrollTo({ top: 0, behavior: "instant" }); return Object.fromEntries(names.map((n) => [n, document.querySelector(n).getBoundingClientRect().top])); }',
        STILL,
    )


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}" for each in found if each["impact"] in {"serious", "critical"}]


@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_jumps_while_choices_change(hub: RealHub, chromium: Browser, width: int) -> None:
    page = opened(hub, chromium, width=width)
    page.goto(LAUNCH)
    before = tops(page)
    for number, words in ((4, "Your choice now"), (0, "No GPU"), (2, "2 ×")):
        page.check(f"#gpus-{number}", force=True)
        expect(page.locator("#keep-summary")).to_contain_text(words)
        assert tops(page) == before, f"with {number} GPUs"
    page.context.close()


def test_choice_is_saved_used_deleted_and_brought_back_without_leaving_the_page(hub: RealHub, chromium: Browser) -> None:
    page = opened(hub, chromium)
    page.goto(f"{LAUNCH}&max_hours=8&if_full=fail")
    page.evaluate("document.body.dataset.same = 'page'")
    page.click("#keep > summary")
    page.fill("#preset_name", "<img src=x onerror=alert(1)>")
    page.press("#preset_name", "Enter")
    card = page.locator(".ap-preset")
    expect(card).to_have_count(1)
    expect(page.locator("#preset_name")).to_have_value("")
    page.fill("#preset_name", "<img src=x onerror=alert(1)>")
    page.click("#save")
    expect(page.locator("#keep-news")).to_contain_text("under this name already")
    expect(page.locator("#preset_name")).to_have_value("<img src=x onerror=alert(1)>")
    assert serious(page) == []
    page.click(".ap-preset button")
    expect(card).to_have_count(0)
    expect(page.locator("#undo-delete")).to_be_focused()
    expect(page.locator(".htmx-settling")).to_have_count(0)  # for 20 ms the browser has focused what htmx does not know yet
    page.keyboard.press("Enter")
    expect(card).to_have_count(1)
    assert page.evaluate("document.body.dataset.same") == "page", "no reload"
    page.goto(f"{PAGES}launch")
    page.click(".ap-preset > a")
    expect(page.locator("#gpus-1")).to_be_checked()
    expect(page.locator("#if_full")).to_have_value("fail")
    expect(page.locator("#max_hours")).to_have_value("8")
    assert len(hub.open_allocations()) == 0, "saving starts nothing"
    page.context.close()


def test_link_and_badge_follow_the_choice_and_bring_it_to_somebody_else(hub: RealHub, chromium: Browser) -> None:
    page = opened(hub, chromium)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=hub.url)
    page.goto(LAUNCH)
    page.click("#keep > summary")
    page.check("#gpus-2", force=True)
    expect(page.locator("#keep-summary")).to_contain_text("2 ×")
    expect(page.locator("#keep")).to_have_attribute("open", "")
    expect(page.locator(".htmx-request")).to_have_count(0)
    page.click("[data-copy=share-link]")
    expect(page.locator("[data-copy=share-link]")).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{hub.url}{PAGES}launch?environment_template=jupyterlab&gpus=2")
    badge = page.input_value("#share-badge")
    assert badge.endswith(f"({link})")
    picture = badge.partition("](")[2].partition(")")[0]
    answer = chromium.new_context().request.get(picture)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml"), "without a login"
    other = opened(hub, chromium, user="user2", has_scripts=False)
    other.goto(link)
    expect(other.locator("#gpus-2")).to_be_checked()
    other.context.close()
    page.context.close()


def test_saving_works_without_scripts(hub: RealHub, chromium: Browser) -> None:
    page = opened(hub, chromium, user="user3", width=360, has_scripts=False)
    page.goto(LAUNCH)
    page.click("#keep > summary")
    page.fill("#preset_name", "plain")
    page.click("#save")
    expect(page.locator("#keep-news")).to_contain_text("Saved as “plain”")
    page.click(".ap-preset button")
    expect(page.locator(".ap-preset")).to_have_count(0)
    page.click("#undo-delete")
    expect(page.locator(".ap-preset")).to_have_count(1)
    expect(page.locator("[data-copy=share-link]")).to_be_hidden()
    page.context.close()


@pytest.mark.parametrize("query", ["", "?period=year&group_by=week", "?period=last-month&group_by=project"])
def test_usage_has_no_serious_finding(hub: RealHub, chromium: Browser, query: str) -> None:
    page = opened(hub, chromium, width=360)
    page.goto(f"{PAGES}usage{query}")
    expect(page.locator("#compared")).to_contain_text("Compared with")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.context.close()
