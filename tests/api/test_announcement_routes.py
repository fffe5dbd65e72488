"""Announcements over REST, on the pages and on the command line."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from aiplatform_hub.domain.units import isoformat
from tests.support.hub import ADMIN, wait_for

TEXT = "The cooling is repaired <b>tomorrow</b>."


def later(hours: float) -> str:
    return isoformat(datetime.now(UTC) + timedelta(hours=hours))


def announce(place, **body):
    return place.call("POST", "announcements", user=ADMIN, json={"text": TEXT, "ends_at": later(1), **body})


def listed(place, user="user1"):
    return place.call("GET", "announcements", user=user).json()["items"]


@pytest.fixture
def quiet(place):
    """Nothing is announced, before and after."""
    yield place
    for one in listed(place):
        place.call("DELETE", f"announcements/{one['id']}", user=ADMIN).raise_for_status()


def home(place, browser):
    return browser.session.get(f"{place.hub.url}/services/platform/home", timeout=30).text


def test_admin_tells_everybody_and_takes_it_back(quiet):
    answer = announce(quiet, level="critical")
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert (told["level"], told["is_shown"], told["is_maintenance"]) == ("critical", True, False)
    assert [one["id"] for one in listed(quiet)] == [told["id"]]
    browser = quiet.hub.browser("user1")
    page = home(quiet, browser)
    assert "The cooling is repaired &lt;b&gt;tomorrow&lt;/b&gt;." in page
    assert f'data-announcement="{told["id"]}"' in page
    assert quiet.call("DELETE", f"announcements/{told['id']}", user=ADMIN).json()["withdrawn_at"]
    assert "The cooling" not in home(quiet, browser)
    assert quiet.call("POST", f"announcements/{told['id']}/restore", user=ADMIN).json()["withdrawn_at"] is None
    assert "The cooling" in home(quiet, browser)
    done = [(event.action, event.outcome) for event in quiet.audit() if event.target == f"announcement:{told['id']}"]
    assert done == [("restore_announcement", "done"), ("withdraw_announcement", "done"), ("announce", "done")]


def test_nobody_else_may_and_the_audit_trail_says_so(quiet):
    told = announce(quiet).json()
    for method, path, body in (
        ("POST", "announcements", {"text": "x", "ends_at": later(1)}),
        ("DELETE", f"announcements/{told['id']}", None),
        ("POST", f"announcements/{told['id']}/restore", {}),
    ):
        answer = quiet.call(method, path, user="user1", json=body)
        assert answer.status_code == 403, answer.text
        action = f"{method} /services/platform/api/v1/{path}"[:64]
        assert wait_for(lambda action=action: any((e.action, e.actor, e.outcome) == (action, "user1", "refused") for e in quiet.audit()), action)
    limited = quiet.token(ADMIN, "read:servers", "access:services!service=platform")
    assert quiet.call("DELETE", f"announcements/{told['id']}", token=limited).status_code == 403
    assert [one["id"] for one in listed(quiet)] == [told["id"]]


def test_page_of_admins_writes_withdraws_and_does_not_exist_for_others(quiet):
    address = f"{quiet.hub.url}/services/platform/admin/announcements"
    stranger = quiet.hub.browser("user1").session
    assert stranger.get(address, timeout=30).status_code == 404
    xsrf = next(iter(re.findall(r'name="xsrf" content="([^"]+)"', stranger.get(f"{quiet.hub.url}/services/platform/home", timeout=30).text)))
    fields = {"text": TEXT, "level": "warning", "starts_at": "", "ends_at": later(1)[:16]}
    assert stranger.post(address, data={"_xsrf": xsrf, **fields}, timeout=30).status_code == 404
    assert wait_for(lambda: any(e.action == "POST /services/platform/admin/announcements" and e.actor == "user1" for e in quiet.audit()), "audited")

    session = quiet.hub.browser(ADMIN).session
    xsrf = re.findall(r'name="xsrf" content="([^"]+)"', session.get(address, timeout=30).text)[0]
    refused = session.post(address, data={"_xsrf": xsrf, **fields, "ends_at": "soon", "level": "loud"}, timeout=30)
    assert refused.status_code == 400
    assert "tomorrow&lt;/b&gt;." in refused.text, "what was typed stays"
    assert "ends_at must be a UTC instant" in refused.text
    assert "Choose how much it matters." in refused.text
    written = session.post(address, data={"_xsrf": xsrf, **fields}, timeout=30)
    assert written.status_code == 200
    (told,) = listed(quiet)
    assert told["level"] == "warning"
    withdrawn = session.post(f"{address}/{told['id']}/withdraw", data={"_xsrf": xsrf}, timeout=30)
    assert listed(quiet) == []
    assert "Undo" in withdrawn.text
    session.post(f"{address}/{told['id']}/restore", data={"_xsrf": xsrf}, timeout=30)
    assert [one["id"] for one in listed(quiet)] == [told["id"]]


def test_reader_hides_one_for_the_visit_of_this_browser(quiet):
    told = announce(quiet).json()
    browser, other = quiet.hub.browser("user1"), quiet.hub.browser("user1")
    page = home(quiet, browser)
    xsrf = re.findall(r'name="xsrf" content="([^"]+)"', page)[0]
    address = f"{quiet.hub.url}/services/platform/announcements/{told['id']}/dismiss"
    answer = browser.session.post(address, data={"_xsrf": xsrf, "back": "//elsewhere.example"}, timeout=30, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/services/platform/home")
    cookie = next(value for name, value in answer.headers.items() if name.lower() == "set-cookie" and "aiplatform-dismissed" in value)
    assert "expires" not in cookie.lower()
    assert "max-age" not in cookie.lower()
    assert "HttpOnly" in cookie
    assert "The cooling" not in home(quiet, browser)
    assert "The cooling" in home(quiet, other)


def test_open_pages_are_told_by_the_stream(quiet):
    with quiet.call("GET", "events", user="user1", stream=True) as stream:
        lines = stream.iter_lines(decode_unicode=True)
        next(line for line in lines if line == "event: capacity")
        told = announce(quiet).json()  # within the first look or after it: either way the stream says so once it has looked twice
        assert any(line == "event: announcement" for line in lines)
        data = json.loads(next(lines).removeprefix("data: "))
        assert data == {"ids": [told["id"]]}


def test_commands_add_list_and_remove(quiet, typed):
    added = typed("announcements", "add", TEXT, "--level", "warning", "--until", later(2)[:16], "--maintenance", "--json", user=ADMIN)
    assert added.returncode == 0, added.stderr
    number = json.loads(added.stdout)["id"]
    shown = typed("announcements", "list")
    assert "warning, maintenance" in shown.stdout
    assert TEXT in shown.stdout
    refused = typed("announcements", "remove", str(number))
    assert refused.returncode == 1
    removed = typed("announcements", "remove", str(number), user=ADMIN)
    assert "restore" in removed.stdout
    assert "Nothing is announced." in typed("announcements", "list").stdout
    assert typed("announcements", "restore", str(number), user=ADMIN).returncode == 0
    assert typed("announcements", "remove", "999999", user=ADMIN).returncode == 1
    assert typed("announcements", "add", " ", user=ADMIN).returncode == 2


def test_owner_hides_what_is_over_and_nobody_else(kept):
    place = kept
    given = place.launch("user2", "tidy").json()
    address = f"allocations/{given['id']}/hidden"
    assert place.call("PUT", address, user="user2").status_code == 409
    place.call("DELETE", f"allocations/{given['id']}", user="user2")
    place.wait_state("user2", given["id"], "ended", "withdrawn", "expired")
    for method in ("PUT", "DELETE"):
        assert place.call(method, address, user="user1").status_code == 404
        assert place.call(method, address, user=ADMIN).status_code == 404
        assert place.call(method, address, user="user2").status_code == 204


def test_dry_run_names_the_maintenance_that_it_reaches_into(quiet):
    told = announce(quiet, starts_at=later(5), ends_at=later(6), is_maintenance=True).json()

    def windows(hours):
        body = {"environment_template": "trivial", "max_hours": hours}
        return [one["announcement_id"] for one in quiet.call("POST", "decisions", user="user1", json=body).json()["maintenance"]]

    assert (windows(2), windows(8)) == ([], [told["id"]])
