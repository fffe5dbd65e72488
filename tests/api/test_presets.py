"""Saved choices over REST and on the page without scripts: own ones only, judged as launches are."""

from __future__ import annotations

import re

import pytest

from tests.api.place import MONITOR_TOKEN, PREFIX
from tests.api.test_rights import Visitor
from tests.support.hub import ADMIN

CHOICE = {"name": "Course, week 1", "environment_template": "trivial", "gpus": 1, "if_full": "fail"}


@pytest.fixture
def saved(place):
    answer = place.call("POST", "presets", user="user1", json=CHOICE)
    assert answer.status_code == 201, answer.text
    yield answer.json()
    for preset in place.call("GET", "presets", user="user1").json()["items"]:
        place.call("DELETE", f"presets/{preset['id']}", user="user1")


def test_saved_choice_is_listed_with_every_default_and_a_link(place, saved):
    (listed,) = place.call("GET", "presets", user="user1").json()["items"]
    assert listed == saved
    assert (saved["name"], saved["if_full"], saved["deleted_at"]) == ("Course, week 1", "fail", None)
    assert {"environment_template": "trivial", "gpus": 1, "memory_gib": 1}.items() <= saved["options"].items()
    assert saved["launch_url"].startswith(f"{PREFIX}launch?environment_template=trivial&gpus=1")
    assert saved["launch_url"].endswith("if_full=fail")


def test_bad_choices_are_refused_by_name_and_nothing_is_saved(place, saved):
    for change, field in (
        ({"gpus": 99}, "gpus"),
        ({"environment_template": "none"}, "environment_template"),
        ({"name": ""}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"colour": "red"}, "colour"),
        ({"user": "user2"}, "user"),
    ):
        answer = place.call("POST", "presets", user="user1", json={**CHOICE, "name": "other", **change})
        assert answer.status_code == 400, (change, answer.text)
        assert field in {reason["field"] for reason in answer.json()["reasons"]}
    twice = place.call("POST", "presets", user="user1", json=CHOICE)
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    assert len(place.call("GET", "presets", user="user1").json()["items"]) == 1


def test_others_admins_services_and_readers_change_nothing(place, saved):
    path = f"presets/{saved['id']}"
    for user in ("user2", ADMIN):
        assert place.call("GET", "presets", user=user).json()["items"] == []
        assert place.call("DELETE", path, user=user).status_code == 404
        assert place.call("POST", f"{path}/restore", user=user).status_code == 404
    assert place.call("GET", "presets", token=MONITOR_TOKEN).json()["items"] == []
    assert place.call("POST", "presets", token=MONITOR_TOKEN, json=CHOICE).status_code in {403, 404}
    reader = place.token("user1", "read:servers!user=user1")
    assert place.call("GET", "presets", token=reader).json()["items"] == [saved]
    assert place.call("DELETE", path, token=reader).status_code == 403
    assert place.call("POST", "presets", token=reader, json={**CHOICE, "name": "x"}).status_code == 403
    assert place.call("GET", "presets", user="user1").json()["items"] == [saved]
    for nonsense in ("x", "presets", "%20"):
        assert place.call("DELETE", f"presets/{nonsense}", user="user1").status_code == 404


def test_deleted_choice_is_brought_back(place, saved):
    path = f"presets/{saved['id']}"
    for _ in range(2):
        assert place.call("DELETE", path, user="user1").json()["deleted_at"]
    assert place.call("GET", "presets", user="user1").json()["items"] == []
    assert place.call("POST", f"{path}/restore", user="user1").json() == saved
    assert place.call("GET", "presets", user="user1").json()["items"] == [saved]


def test_page_saves_uses_deletes_and_undoes_without_scripts(place, saved):
    visitor, launch = Visitor(place, "user1"), f"{place.hub.url}{PREFIX}launch"
    html = visitor.session.get(launch, timeout=30).text
    assert "Course, week 1" in html
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', html).group(1)
    fields = {"_xsrf": xsrf, "preset_name": "<b>second</b>", "environment_template": "trivial", "gpus": "0"}
    answer = visitor.session.post(f"{launch}/presets", data=fields, timeout=30)
    assert (answer.status_code, answer.history[0].status_code) == (200, 303)
    assert "Saved as “&lt;b&gt;second&lt;/b&gt;”" in answer.text
    assert "<b>second" not in answer.text
    again = visitor.session.post(f"{launch}/presets", data=fields, timeout=30)
    assert again.status_code == 409
    assert "under this name already" in again.text
    assert 'value="&lt;b&gt;second&lt;/b&gt;"' in again.text  # what was typed is not lost
    second = next(p for p in place.call("GET", "presets", user="user1").json()["items"] if p["name"] == "<b>second</b>")
    gone = visitor.session.post(f"{launch}/presets/{second['id']}/delete", data={"_xsrf": xsrf}, timeout=30)
    assert "is deleted." in gone.text
    assert len(place.call("GET", "presets", user="user1").json()["items"]) == 1
    visitor.session.post(f"{launch}/presets/{second['id']}/restore", data={"_xsrf": xsrf}, timeout=30)
    assert len(place.call("GET", "presets", user="user1").json()["items"]) == 2
    assert visitor.session.post(f"{launch}/presets/{second['id']}/delete", data={}, timeout=30).status_code == 403  # no token, no change
    assert visitor.session.get(f"{launch}/presets/{second['id']}/delete", timeout=30).url == launch  # looking changes nothing
    assert len(place.call("GET", "presets", user="user1").json()["items"]) == 2


def test_whoever_does_not_want_to_wait_is_refused_on_the_page_too(place):
    visitor, launch = Visitor(place, "user2"), f"{place.hub.url}{PREFIX}launch"
    html = visitor.session.get(launch, timeout=30).text
    xsrf = re.search(r'name="_xsrf" value="([^"]+)"', html).group(1)
    answer = visitor.session.post(launch, data={"_xsrf": xsrf, "environment_template": "trivial", "gpus": "0", "if_full": "perhaps"}, timeout=30)
    assert answer.status_code == 400
    assert "if_full must be queue or fail." in answer.text
