"""Behaviour everywhere: policies that hold in a real browser, lost connections, the app, notifications without a page, the reader's notation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.test_every_page import ASPECTS, findings, overflow
from tests.browser.test_queue_pages import hold, join
from tests.support.hub import wait_for
from tests.support.push_service import PushBrowser, PushService

PAGES = "/services/platform/"
WATCH = "addEventListener('securitypolicyviolation', (event) => console.error(`VIOLATION ${location.pathname} ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"
COUNT_STREAMS = """
window.streams = new Set();
window.EventSource = class extends EventSource {
  constructor(...all) { super(...all); window.streams.add(this); }
  close() { super.close(); window.streams.delete(this); }
};
"""
# The push service of the browser's maker cannot be reached from a test; all that is ours is real.
BROWSER_WITH_PUSH = """
const made = %s;
const subscription = { endpoint: made.endpoint, options: {}, toJSON: () => made, unsubscribe: async () => { localStorage.removeItem("made"); return true; } };
PushManager.prototype.subscribe = async (options) => { localStorage.setItem("made", options.applicationServerKey); return subscription; };
PushManager.prototype.getSubscription = async () => (localStorage.getItem("made") ? subscription : null);
"""


@pytest.fixture
def push_service(visitor: Visitor) -> Iterator[PushService]:
    service = PushService(urlsplit(visitor.trial.push_origin).port or 0)
    yield service
    service.close()


def with_push(page: Page, browser: PushBrowser) -> Page:
    """Return another page of the same browser, which reaches a push service and may notify."""
    page.context.grant_permissions(["notifications"])
    page.context.add_init_script(BROWSER_WITH_PUSH % json.dumps(browser.as_json()))
    other = page.context.new_page()
    other.set_default_timeout(45_000)
    return other


def test_no_page_of_hub_or_platform_breaks_its_policy(visitor: Visitor) -> None:
    seen: list[str] = []
    for user in ("student", "admin"):
        first = visitor.open(user)
        first.context.add_init_script(WATCH)
        page = first.context.new_page()
        page.on("console", lambda message: "VIOLATION" in message.text and seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        for address in ("home", "launch", "usage", "policy", "settings", "offline", "sessions/00000000-0000-0000-0000-000000000000"):
            page.goto(f"{PAGES}{address}")
            expect(page.locator("h1").first).to_be_visible()
        for address in ("/hub/token", "/hub/spawn", "/hub/no-such-page", "/hub/user/student/nothing/", *(("/hub/admin",) if user == "admin" else ())):
            page.goto(address)
            expect(page.locator("#dark-theme-toggle")).to_be_visible()
            page.wait_for_load_state("networkidle")
    expect(page.locator("table").first).to_be_visible()  # the hub's own admin page, which React draws
    page.goto("/hub/token")
    page.click("#request-token-form [type=submit]")
    expect(page.locator("#token-result")).not_to_be_empty()
    page.goto("/hub/login")
    assert seen == []


def test_admin_page_of_the_hub_moves_in_its_frame_on_a_phone(visitor: Visitor) -> None:
    page = visitor.open("admin", width=360)
    page.goto("/hub/admin")
    expect(page.locator("table").first).to_be_visible()
    assert overflow(page) <= 0
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('#react-admin-hook'))")


def test_scripts_that_a_value_brings_into_a_hub_page_do_not_run(visitor: Visitor) -> None:
    page = visitor.open("student")
    page.goto("/hub/token")
    ran = page.evaluate(
        """() => { const made = document.createElement("script"); made.textContent = "window.didRun = true"; document.body.append(made);
        const image = document.createElement("div"); image.innerHTML = "<img src=x onerror='window.didRun = true'>"; document.body.append(image);
        return new Promise((done) => setTimeout(() => done(Boolean(window.didRun)), 500)); }"""
    )
    assert ran is False


def test_lost_connection_is_said_with_its_time_and_what_changed_is_there_on_return(visitor: Visitor) -> None:
    page = visitor.open("student", width=360)
    page.goto(f"{PAGES}home")
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    page.evaluate("window.isTheSamePage = true")
    bar = page.locator("#offline")
    expect(bar).to_be_hidden()
    page.context.set_offline(True)
    expect(bar).to_contain_text(re.compile(r"This device is offline\. What you see is as of \d"))
    assert findings(page) == []
    assert overflow(page) <= 0
    other = visitor.open("student", has_scripts=False)
    other.goto(f"{PAGES}launch?environment_template=jupyterlab&gpus=0&server_name=meanwhile")
    other.click("#start")
    page.context.set_offline(False)
    expect(bar).to_contain_text("Connected again")
    expect(page.locator("#live")).to_contain_text("meanwhile")
    expect(bar).to_be_hidden()
    assert page.evaluate("window.isTheSamePage") is True


def test_hidden_page_has_no_stream_and_one_again_when_it_is_looked_at(visitor: Visitor) -> None:
    first = visitor.open("student")
    first.context.add_init_script(COUNT_STREAMS)
    page = first.context.new_page()
    page.goto(f"{PAGES}home")
    wait_for(lambda: page.evaluate("window.streams.size === 1"), "the stream is there again")
    hide = "(isHidden) => { Object.defineProperty(document, 'hidden', { get: () => isHidden, configurable: true }); document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    assert page.evaluate("window.streams.size") == 0
    with page.expect_request(lambda request: "/home" in request.url):  # catches up
        page.evaluate(hide, False)
    assert page.evaluate("window.streams.size") == 1


def stored(context: BrowserContext) -> set[str]:
    """Return the paths of everything that the service worker keeps."""
    keys = "caches.keys().then((names) => Promise.all(names.map((name) => caches.open(name).then((cache) => cache.keys()))))"
    urls = context.pages[-1].evaluate(f"{keys}.then((lists) => lists.flat().map((request) => request.url))")
    return {urlsplit(url).path for url in urls}


def test_app_shows_an_honest_page_when_nothing_answers_and_keeps_nothing_of_anybody(visitor: Visitor, tmp_path: Path) -> None:
    for width, theme in ASPECTS:
        page = visitor.open("student", width=width, theme=theme)
        page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        for address in ("home", "usage", "launch"):
            page.goto(f"{PAGES}{address}")
        page.context.set_offline(True)
        page.goto(f"{PAGES}usage")
        expect(page.locator("h1")).to_have_text("AI Platform Hub cannot be reached")
        expect(page.locator("main")).to_contain_text("Nothing is shown from before")
        assert "student" not in page.content()
        assert page.evaluate("document.documentElement.dataset.bsTheme") == theme
        assert findings(page) == []
        assert overflow(page) <= 0
        page.screenshot(path=tmp_path / f"offline-{width}-{theme}.png")
        shell = {f"{PAGES}{name}" for name in ("offline", "static/aiplatform.css", "static/shell.css", "static/offline.js", "static/icons/icon.svg")}
        assert stored(page.context) == shell
        page.context.set_offline(False)
        expect(page.locator("h1")).to_have_text("Usage and cost")
        page.context.close()


def test_pages_can_be_installed(visitor: Visitor) -> None:
    page = visitor.open("student")
    client = page.context.new_cdp_session(page)
    found = client.send("Page.getAppManifest")
    assert found["errors"] == []
    assert found["url"].endswith(f"{PAGES}manifest.webmanifest")
    page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    assert [fault["errorId"] for fault in client.send("Page.getInstallabilityErrors")["installabilityErrors"] if fault["errorId"] != "in-incognito"] == []
    for icon in json.loads(found["data"])["icons"]:
        assert page.request.get(f"{PAGES}{icon['src']}").ok


def notifications(page: Page) -> list[dict[str, str]]:
    return list(
        page.evaluate(
            "navigator.serviceWorker.ready.then((found) => found.getNotifications()).then((all) => all.map(({title, body, data}) => ({title, body, url: data.url})))"
        )
    )


def test_who_waits_is_told_without_a_page_until_it_is_switched_off(visitor: Visitor, push_service: PushService, tmp_path: Path) -> None:
    browser = push_service.browser()
    holder = hold(visitor, 4)
    page = with_push(visitor.open("student"), browser)
    join(page)
    offer = page.locator("#push-offer")
    page.goto(f"{PAGES}home")
    expect(offer).to_contain_text("Shall this browser tell you")
    for width, theme in ASPECTS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
        assert overflow(page) <= 0
        assert findings(page) == []
        page.screenshot(path=tmp_path / f"offer-{width}-{theme}.png")
    offer.get_by_role("button", name="Tell me").click()
    expect(offer).to_be_hidden()
    page.goto(f"{PAGES}settings")
    expect(page.locator("[data-browser]")).to_contain_text("Chrome on Linux (this one)")
    for width, theme in ASPECTS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
        assert overflow(page) <= 0
        assert findings(page) == []
        page.screenshot(path=tmp_path / f"settings-{width}-{theme}.png", full_page=True)

    stop_everything(holder)
    wait_for(lambda: push_service.pushed, "the browser's push service is told", 60)
    pushed = push_service.pushed[0]
    assert pushed.browser is browser
    assert pushed.message["subject"] == "Your turn has come: JupyterLab (waits)"
    assert pushed.key == page.evaluate("localStorage.getItem('made')")

    client = page.context.new_cdp_session(page)
    registrations: list[str] = []
    client.on("ServiceWorker.workerRegistrationUpdated", lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]))
    client.send("ServiceWorker.enable")
    wait_for(lambda: page.wait_for_timeout(100) or registrations, "Chromium names the service worker")
    for _ in range(2):  # the same one twice: a repetition takes the place of the first
        message = {"origin": visitor.trial.url, "registrationId": registrations[0], "data": json.dumps(pushed.message)}
        client.send("ServiceWorker.deliverPushMessage", message)
    shown = wait_for(lambda: page.wait_for_timeout(100) or notifications(page), "a notification is shown")
    assert [each["title"] for each in shown] == ["Your turn has come: JupyterLab (waits)"]
    assert "UTC" not in shown[0]["body"]
    assert shown[0]["url"] == f"{visitor.trial.url}{PAGES}sessions/{pushed.message['session']}"

    page.reload()
    page.get_by_role("button", name="Turn off in this browser").click()
    expect(page.locator("[data-push-state]")).to_have_text("Off in this browser.")
    expect(page.locator("[data-browser]")).to_have_count(0)
    assert page.evaluate("localStorage.getItem('made')") is None


def test_browser_of_another_person_is_theirs_no_more_and_switched_off_without_scripts(visitor: Visitor, push_service: PushService) -> None:
    browser = push_service.browser()
    page = with_push(visitor.open("student"), browser)
    page.goto(f"{PAGES}settings")
    page.get_by_role("button", name="Turn on in this browser").click()
    expect(page.locator("[data-browser]")).to_contain_text("(this one)")
    page.goto("/hub/logout")
    page.goto("/hub/login")
    page.fill("#username_input", "guest")
    page.fill("#password_input", visitor.trial.passwords["guest"])
    page.click("#login_submit")
    page.wait_for_url("**/services/platform/home")
    wait_for(lambda: page.evaluate("localStorage.getItem('made') === null"), "the browser is nobody's")
    plain = visitor.open("student", has_scripts=False)
    plain.goto(f"{PAGES}settings")
    plain.locator("[data-browser] button").click()
    plain.wait_for_url(f"**{PAGES}settings")
    expect(plain.locator("[data-browser]")).to_have_count(0)


def test_reader_sees_their_own_notation_and_zone(visitor: Visitor) -> None:
    first = visitor.open("student")
    context = visitor.browser.new_context(base_url=visitor.trial.url, locale="de-DE", timezone_id="Asia/Tokyo", storage_state=first.context.storage_state())
    page = context.new_page()
    page.goto(f"{PAGES}usage")
    expect(page.locator("main")).to_contain_text(re.compile(r"\d,\d\d[\s\u00a0]GPU-hours"))
    assert not re.search(r"\d\.\d\d[\s\u00a0]GPU-hours", page.inner_text("main"))
    time = page.locator("main time").first
    expect(time).to_have_attribute("title", re.compile("Japan|GMT\\+9|JST"))
    page.goto(f"{PAGES}settings")
    expect(page.locator("[data-zone]")).to_have_text("Asia/Tokyo")
    expect(page.locator("[data-sample]")).to_contain_text("1.234,50")
