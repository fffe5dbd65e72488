"""`aiplatform token`: beside a running hub, and on a stopped one."""

from __future__ import annotations

import json

import requests
from installation import Installation, aiplatform


def who_am_i(running: Installation, token: str) -> dict[str, object]:
    answer = requests.get(running.address + "hub/api/user", headers={"Authorization": f"token {token}"}, timeout=5)
    assert answer.ok
    return answer.json()


def test_token_of_a_known_person_beside_a_running_hub(running: Installation):
    me = who_am_i(running, running.token("student"))
    assert (me["name"], me["admin"], me["groups"]) == ("student", False, ["vision"])


def test_unknown_person_is_refused_unless_created(running: Installation):
    refused = aiplatform("token", "newcomer", "--data-dir", running.data_dir)
    assert refused.returncode == 1
    assert "--create" in refused.stderr
    assert who_am_i(running, running.token("newcomer", "--create"))["name"] == "newcomer"


def test_promoting_a_person_whom_the_running_hub_has_loaded_holds_at_once(running: Installation):
    before = running.token("riser", "--create")
    assert who_am_i(running, before)["admin"] is False
    after = running.token("riser", "--admin")
    assert who_am_i(running, after)["admin"] is True


def test_json_and_expiry(running: Installation):
    done = aiplatform("token", "student", "--data-dir", running.data_dir, "--days", "1", "--json")
    body = json.loads(done.stdout)
    assert body["expires_in_seconds"] == 86400
    assert who_am_i(running, body["token"])["name"] == "student"


def test_stopped_hub_gets_it_in_its_database(running: Installation):
    running.end()
    refused = aiplatform("token", "sleeper", "--data-dir", running.data_dir)
    assert refused.returncode == 1
    token = running.token("sleeper", "--create", "--admin")
    running.start()
    me = who_am_i(running, token)
    assert (me["name"], me["admin"]) == ("sleeper", True)


def test_folder_that_never_ran_is_exit_2(tmp_path):
    done = aiplatform("token", "student", "--data-dir", tmp_path)
    assert done.returncode == 2
    assert "aiplatform run" in done.stderr
