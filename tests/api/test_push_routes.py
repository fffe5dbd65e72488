"""Browsers over REST and on the Settings page, and a notice that reaches one: keeper, encryption, push service."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import pytest
import requests

from tests.api.place import MONITOR_TOKEN, PREFIX, PUSH_ORIGIN
from tests.api.test_rights import Visitor
from tests.support.hub import ADMIN, wait_for
from tests.support.push_service import PushBrowser, PushService


@pytest.fixture
def service():
    running = PushService(urlsplit(PUSH_ORIGIN).port)
    yield running
    running.close()


def of(place, user):
    return place.call("GET", "push", user=user).json()["subscriptions"]


def switch_on(place, user, browser):
    answer = place.call("POST", "push/subscriptions", user=user, json=browser.as_json(), headers={"User-Agent": "Firefox/140 (X11; Linux)"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_browser_is_switched_on_shown_and_off(place):
    browser = PushBrowser(PUSH_ORIGIN)
    made = switch_on(place, "user1", browser)
    assert made["browser"] == "Firefox on Linux"
    assert made["endpoint_sha256"] == hashlib.sha256(browser.endpoint.encode()).hexdigest()
    answer = place.call("GET", "push", user="user1")
    assert answer.json()["is_available"]
    assert answer.json()["subscriptions"] == [made]
    assert browser.path not in answer.text, "whoever knows the address can write to the browser"
    assert of(place, "user2") == of(place, ADMIN) == []
    assert place.call("GET", "push", token=MONITOR_TOKEN).json()["subscriptions"] == []
    for user in ("user2", ADMIN):
        assert place.call("DELETE", f"push/subscriptions/{made['id']}", user=user).status_code == 404
    assert place.call("DELETE", "push/subscriptions/nonsense", user="user1").status_code == 404
    assert of(place, "user1") == [made]
    assert place.call("DELETE", f"push/subscriptions/{made['id']}", user="user1").status_code == 204
    assert of(place, "user1") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint": "http://169.254.169.254/latest"}, "endpoint"),
        ({"endpoint": 3}, "endpoint"),
        ({"keys": {"p256dh": "x", "auth": "y"}}, "keys"),
        ({"keys": None}, "keys"),
        ({"more": 1}, "more"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(place, change, field):
    answer = place.call("POST", "push/subscriptions", user="user1", json={**PushBrowser(PUSH_ORIGIN).as_json(), **change})
    assert answer.status_code == 400
    assert answer.json()["reasons"][0]["field"] == field
    assert of(place, "user1") == []


def test_settings_show_a_browser_and_switch_it_off_without_scripts(place):
    browser = PushBrowser(PUSH_ORIGIN)
    made = switch_on(place, "user3", browser)
    visitor, settings = Visitor(place, "user3"), f"{place.hub.url}{PREFIX}settings"
    html = visitor.session.get(settings, timeout=30).text
    assert "Firefox on Linux" in html
    assert browser.path not in html
    off = f"{settings}/browsers/{made['id']}/off"
    assert visitor.session.post(off, timeout=30).status_code == 403, "without its token"
    assert visitor.session.get(off, timeout=30).url == settings
    stranger = Visitor(place, "user1")
    assert stranger.session.post(off, data={"_xsrf": stranger.xsrf}, timeout=30).url == settings
    assert of(place, "user3") == [made], "no GET, and nobody else, switches it off"
    assert visitor.session.post(off, data={"_xsrf": visitor.xsrf}, timeout=30).url == settings
    assert of(place, "user3") == []


def test_files_of_the_app_need_no_login_and_hold_nothing_of_anybody(place):
    for name, kind in (
        ("manifest.webmanifest", "application/manifest+json"),
        ("service-worker.js", "text/javascript"),
        ("offline", "text/html; charset=utf-8"),
    ):
        answer = requests.get(f"{place.hub.url}{PREFIX}{name}", timeout=30, allow_redirects=False)
        assert (answer.status_code, answer.headers["Content-Type"], answer.headers["Cache-Control"]) == (200, kind, "no-cache")
        assert "user1" not in answer.text
    worker = requests.get(f"{place.hub.url}{PREFIX}service-worker.js", timeout=30)
    assert worker.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; connect-src 'self'")
    for name in ("no-such.webmanifest", "../rendering.py", "service-worker.js/x"):
        assert requests.get(f"{place.hub.url}{PREFIX}{name}", timeout=30).status_code == 404


def test_who_waited_is_told_in_each_browser_and_the_gone_one_is_forgotten(full, service):
    alive, gone = service.browser(), PushBrowser(PUSH_ORIGIN)
    kept = switch_on(full, "user0", alive)
    switch_on(full, "user0", gone)
    key = full.call("GET", "push", user="user0").json()["public_key"]
    allocation = full.launch("user0", "patient", gpus=2).json()
    assert allocation["state"] == "queued"
    full.call("DELETE", f"allocations/{full.holders[0]['id']}", user="user5")
    turns = wait_for(lambda: [each for each in service.pushed if each.message["session"] == allocation["id"]], "the browser is told", 60)
    assert turns[0].message["subject"] == "Your turn has come: Trivial (patient)"
    assert turns[0].key == key, "the key that the browser subscribed with"
    (left,) = wait_for(lambda: len(found := of(full, "user0")) == 1 and found, "the other is forgotten", 60)
    assert left["id"] == kept["id"]
    assert wait_for(lambda: of(full, "user0")[0]["delivered_at"], "it is noted", 60)
    full.call("DELETE", f"push/subscriptions/{kept['id']}", user="user0")
