"""The queue over REST, with the keeper at work: wait, see one's place, start by itself, withdraw, change, confirm."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from tests.api.place import MONITOR_TOKEN
from tests.api.test_events import stream
from tests.support.hub import ADMIN, wait_for


def stop(place, allocation, user=None):
    wait_for(lambda: place.call("DELETE", f"allocations/{allocation['id']}", user=user or allocation["user"]).status_code in {202, 204}, "the stop is taken")


def look(place, allocation):
    return place.call("GET", f"allocations/{allocation['id']}", user=allocation["user"]).json()


def placed(place, allocation, position=None):
    """Wait until the dispatcher has looked at a request."""

    def found():
        queue = look(place, allocation)["queue"]
        return queue and queue["reason"]["code"] != "new" and (position is None or queue["position"] == position) and queue

    return wait_for(found, f"{allocation['server_name']} has place {position}")


def test_a_launch_that_does_not_fit_now_waits_and_starts_by_itself(full):
    answer = full.launch("user0", "patient", gpus=2)
    assert answer.status_code == 202, answer.text
    queued = answer.json()
    assert answer.headers["Location"].endswith(f"/api/v1/allocations/{queued['id']}")
    assert (queued["state"], queued["devices"], queued["held_at"], queued["decision"]["outcome"]) == ("queued", [], None, "queue")
    queue = placed(full, queued, 1)
    assert queue["reason"]["message"].startswith("Next in line. Waiting for 2 "), queue
    assert "none is free" in queue["reason"]["message"]
    numbers = queue["reason"]["numbers"]
    assert (queue["reason"]["code"], numbers["requested"], numbers["free"], numbers["dimension"]) == ("capacity", "2", "0", "gpus")
    assert datetime.fromisoformat(queue["expires_at"]) - datetime.fromisoformat(queue["requested_at"]) == timedelta(hours=24)
    assert not full.hub.server("user0", "patient"), "nothing is pending at the hub"
    assert full.call("GET", "capacity", user="user1").json()["queue_length"] == 1
    stop(full, full.holders[0])
    active = full.wait_state("user0", queued["id"], "active")
    assert active["queue"] is None
    assert active["devices"] == full.holders[0]["devices"]
    assert [step["to"] for step in active["history"]][:2] == ["queued", "held"]
    assert full.call("GET", "capacity", user="user1").json()["queue_length"] == 0


def test_who_does_not_want_to_wait_is_refused_as_before(full):
    refused = full.launch("user0", gpus=1, if_full="fail")
    assert (refused.status_code, refused.json()["code"]) == (429, "capacity")
    assert int(refused.headers["Retry-After"]) > 0
    in_use = full.launch("user5", gpus=1, if_full="fail")
    assert (in_use.status_code, in_use.json()["code"]) == (409, "quota_in_use")
    never = full.launch("user0", gpus=3)
    assert (never.status_code, never.json()["code"]) == (403, "quota_exceeded")
    assert not full.queued()


def test_what_waits_for_ones_own_limit_holds_nobody_up(full):
    mine = full.launch("user5", "second", gpus=1).json()
    queue = placed(full, mine)
    assert queue["reason"]["code"] == "quota_in_use"
    assert "You hold 2 of 2 GPUs" in queue["reason"]["message"]
    other = full.launch("user0", "other", gpus=1).json()
    stop(full, full.holders[1])
    full.wait_state("user0", other["id"], "active")
    assert look(full, mine)["state"] == "queued"
    as_admin = full.call("GET", f"allocations/{mine['id']}", user=ADMIN).json()["queue"]["reason"]["message"]
    assert "user5 holds 2 of 2 GPUs" in as_admin
    assert full.call("GET", f"allocations/{mine['id']}", user="user0").status_code == 404


def test_the_queue_shows_ones_own_in_full_and_others_without_names(full):
    first, second = full.launch("user0", "secret-plan", gpus=2).json(), full.launch("user1", "mine", gpus=1).json()
    placed(full, second)
    answer = full.call("GET", "queue", user="user1")
    found = answer.json()
    rows = {(row["allocation"] or {}).get("server_name"): row for row in found["items"]}
    assert found["queue_length"] == 2
    assert [row["position"] for row in found["items"]] == [1, 2]
    assert set(rows) == {None, "mine"}
    assert (rows[None]["gpus"], bool(rows[None]["gpu_type"]), rows[None]["waiting_seconds"] >= 0) == (2, True, True)
    assert set(rows[None]) == {"position", "gpus", "gpu_type", "waiting_seconds", "allocation"}
    assert rows["mine"]["allocation"]["queue"]["position"] == rows["mine"]["position"]
    assert "user0" not in answer.text
    assert "secret-plan" not in answer.text
    assert first["id"] not in answer.text
    for everything in (full.call("GET", "queue", user=ADMIN), full.call("GET", "queue", token=MONITOR_TOKEN)):
        assert {row["allocation"]["server_name"] for row in everything.json()["items"]} == {"secret-plan", "mine"}
    narrow = full.token("user1", "read:servers!server=user1/elsewhere")
    assert {row["allocation"] for row in full.call("GET", "queue", token=narrow).json()["items"]} == {None}
    listed = full.call("GET", "allocations", user="user1", params={"state": "queued"}).json()["items"]
    assert [(entry["server_name"], entry["queue"]["position"]) for entry in listed] == [("mine", rows["mine"]["position"])]


def test_the_queue_is_read_page_by_page(full):
    for number in range(3):
        full.launch("user0", f"page-{number}", gpus=1)
    seen, cursor = [], None
    while True:
        page = full.call("GET", "queue", user="user0", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [row["position"] for row in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [1, 2, 3]
    for params in ({"limit": 0}, {"limit": "x"}, {"limit": 501}, {"cursor": "x"}, {"cursor": -1}):
        assert full.call("GET", "queue", user="user0", params=params).status_code == 400, params


def test_a_withdrawn_request_is_gone_and_may_be_withdrawn_again(full):
    queued = full.launch("user0", "regretted", gpus=1).json()
    assert full.call("DELETE", f"allocations/{queued['id']}", user="user1").status_code == 404
    assert look(full, queued)["state"] == "queued"
    withdrawn = full.call("DELETE", f"allocations/{queued['id']}", user="user0")
    assert withdrawn.status_code == 202
    assert (withdrawn.json()["state"], withdrawn.json()["end_cause"], withdrawn.json()["queue"]) == ("withdrawn", "stopped_by_user", None)
    assert full.call("DELETE", f"allocations/{queued['id']}", user="user0").status_code == 204
    assert full.call("GET", "queue", user="user0").json()["items"] == []
    again = full.launch("user0", "regretted", gpus=1)
    assert again.status_code == 202, "its name is free again"
    by_admin = full.call("DELETE", f"allocations/{again.json()['id']}", user=ADMIN).json()
    assert by_admin["end_cause"] == "stopped_by_admin"
    wait_for(lambda: [e for e in full.audit() if e.action == "withdraw_request" and again.json()["id"] in e.target], "the withdrawal is audited")


def test_a_withdrawal_and_a_dispatch_at_once_leave_one_outcome(full):
    """Whichever is first wins; nothing runs that its owner was told is withdrawn."""
    names = [f"race-{number}" for number in range(4)]
    queued = [full.launch("user0", name, gpus=1).json() for name in names[:2]] + [full.launch("user1", name, gpus=1).json() for name in names[2:]]
    for allocation in queued:
        placed(full, allocation)
    stop(full, full.holders[0])

    def withdraw(allocation):
        return wait_for(
            lambda: (a := full.call("DELETE", f"allocations/{allocation['id']}", user=allocation["user"])).status_code in {202, 204} and a, "withdrawn"
        )

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(withdraw, queued))
    for allocation, answer in zip(queued, answers, strict=True):
        ended = full.wait_state(allocation["user"], allocation["id"], "withdrawn", "ended", seconds=40)
        if answer.status_code == 202 and answer.json()["state"] == "withdrawn":
            assert ended["state"] == "withdrawn"
            assert ended["started_at"] is None
    wait_for(lambda: not any(full.hub.server(a["user"], a["server_name"]) for a in queued), "the hub runs none of them")
    assert {a.user_name for a in full.hub.open_allocations()} <= {"user6"}


def change(place, allocation, body, user=None):
    return place.call("PATCH", f"allocations/{allocation['id']}", user=user or allocation["user"], json=body)


def test_fewer_gpus_start_now_and_keep_the_place(full):
    stop(full, full.holders[0])
    full.wait_state("user5", full.holders[0]["id"], "ended")
    one = full.launch("user1", gpus=1).json()
    full.wait_state("user1", one["id"], "active")
    queued = full.launch("user0", "shrinks", gpus=2).json()
    assert queued["state"] == "queued"
    before = placed(full, queued)
    changed = change(full, queued, {"gpus": 1})
    assert changed.status_code == 200, changed.text
    assert changed.json()["gpus"] == 1
    if changed.json()["queue"]:
        assert changed.json()["queue"]["requested_at"] == before["requested_at"]
    full.wait_state("user0", queued["id"], "active")
    assert change(full, queued, {"gpus": 2}).status_code == 409


def test_more_gpus_go_to_the_back_and_never_too_many(full):
    queued, other = full.launch("user0", "grows", gpus=1).json(), full.launch("user1", "stays", gpus=1).json()
    before = placed(full, queued)
    placed(full, other)
    for body, status, code in (
        ({"gpus": 3}, 403, "quota_exceeded"),
        ({"gpus": 5}, 400, "invalid_option"),
        ({"gpus": -1}, 400, "invalid_option"),
        ({"gpus": "2"}, 400, "invalid_option"),
        ({"gpus": True}, 400, "invalid_option"),
        ({"gpus": 2.5}, 400, "invalid_option"),
        ({"gpus": None}, 400, "invalid_option"),
        ({}, 400, "invalid_option"),
        ({"gpus": 2, "memory_gib": 2}, 400, "invalid_option"),
        ({"environment_template": "failing"}, 400, "invalid_option"),
    ):
        answer = change(full, queued, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (body, answer.text)
    assert look(full, queued)["gpus"] == 1
    assert look(full, queued)["queue"]["requested_at"] == before["requested_at"]
    assert change(full, queued, {"gpus": 2}, user="user1").status_code == 404
    reader = full.token("user0", "read:servers!user=user0", "access:services!service=platform")
    assert full.call("PATCH", f"allocations/{queued['id']}", token=reader, json={"gpus": 2}).status_code == 403
    elsewhere = full.token("user0", "read:servers!user=user0", "start:servers!server=user0/elsewhere", "access:services!service=platform")
    assert full.call("PATCH", f"allocations/{queued['id']}", token=elsewhere, json={"gpus": 2}).status_code == 403
    grown = change(full, queued, {"gpus": 2})
    assert grown.status_code == 200, grown.text
    assert grown.json()["queue"]["requested_at"] > before["requested_at"]
    assert change(full, queued, {"gpus": 1}, user=ADMIN).status_code == 200
    wait_for(lambda: [e for e in full.audit() if e.action == "change_request" and queued["id"] in e.target], "the admin's change is audited")


def test_confirming_renews_the_interest_and_looking_does_not(full):
    queued = full.launch("user0", "kept", gpus=1).json()
    before = placed(full, queued)
    for path in ("allocations", f"allocations/{queued['id']}", "queue", f"allocations/{queued['id']}/decision"):
        assert full.call("GET", path, user="user0").status_code == 200
    assert look(full, queued)["queue"]["expires_at"] == before["expires_at"]
    assert full.call("POST", f"allocations/{queued['id']}/confirm", user="user1").status_code == 404
    elsewhere = full.token("user0", "read:servers!user=user0", "start:servers!server=user0/elsewhere", "access:services!service=platform")
    assert full.call("POST", f"allocations/{queued['id']}/confirm", token=elsewhere).status_code == 403
    confirmed = full.call("POST", f"allocations/{queued['id']}/confirm", user="user0")
    assert confirmed.status_code == 200, confirmed.text
    assert confirmed.json()["queue"]["expires_at"] > before["expires_at"]
    assert confirmed.json()["queue"]["requested_at"] == before["requested_at"]
    assert full.call("GET", f"allocations/{queued['id']}/confirm", user="user0").status_code == 405
    assert full.call("POST", f"allocations/{full.holders[0]['id']}/confirm", user="user5").status_code == 409


def test_a_dry_run_says_at_which_place_it_would_wait(full):
    body = {"environment_template": "trivial", "gpus": 1}
    found = full.call("POST", "decisions", user="user0", json=body).json()
    assert (found["outcome"], found["code"], found["position"]) == ("queue", None, 1)
    assert found["reasons"][0]["code"] == "capacity"
    full.launch("user1", gpus=1)
    assert full.call("POST", "decisions", user="user1", json=body).json()["position"] == 2
    refused = full.call("POST", "decisions", user="user0", json={**body, "if_full": "fail"}).json()
    assert (refused["outcome"], refused["code"], refused["position"]) == ("deny", "capacity", None)
    assert full.call("POST", "decisions", user="user0", json={**body, "gpus": 0}).json()["outcome"] == "admit"
    assert len(full.queued()) == 1


def test_the_same_idempotency_key_gives_the_same_place_in_its_present_state(full):
    headers, body = {"Idempotency-Key": "queued-1"}, {"environment_template": "trivial", "gpus": 2}

    def ask(**changes):
        return full.call("POST", "allocations", user="user0", json={**body, **changes}, headers=headers)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    (key,) = {answer.json()["id"] for answer in answers}
    assert len(full.queued()) == 1
    assert change(full, answers[0].json(), {"gpus": 1}).status_code == 200
    again = ask()
    assert (again.status_code, again.json()["id"], again.json()["gpus"]) == (202, key, 1)
    assert ask(memory_gib=2).status_code == 409
    full.call("DELETE", f"allocations/{key}", user="user0")
    over = ask()
    assert (over.status_code, over.json()["id"], over.json()["state"]) == (202, key, "withdrawn")


def test_one_person_has_ten_places_at_most(full):
    answers = [full.launch("user0", f"greedy-{number}", gpus=1) for number in range(11)]
    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    problem = answers[-1].json()
    assert problem["code"] == "queue_full"
    assert "10" in problem["detail"]
    assert problem["reasons"][0]["remedies"]
    assert full.launch("user1", gpus=1).status_code == 202, "others may"
    full.call("DELETE", f"allocations/{answers[0].json()['id']}", user="user0")
    assert full.launch("user0", "greedy-11", gpus=1).status_code == 202


def test_a_server_that_waits_is_not_queued_twice(full):
    assert full.launch("user0", "once", gpus=1).status_code == 202
    twice = full.launch("user0", "once", gpus=1)
    assert (twice.status_code, twice.json()["code"]) == (409, "server_exists")
    assert "queue" in twice.json()["detail"]
    assert [full.launch("user1", gpus=1).json()["server_name"] for _ in range(2)] == ["trivial", "trivial-2"]


def test_places_reach_their_owner_as_events_and_others_only_the_length(full):
    with stream(full, "user0") as mine, stream(full, "user1") as other:
        wait_for(lambda: [m for m in mine.messages if m["kind"] == "queue" and m["queue_length"] == 0], "a snapshot")
        first = full.launch("user1", "before", gpus=1).json()
        placed(full, first)
        queued = full.launch("user0", "told", gpus=1).json()
        wait_for(lambda: "queued" in mine.causes(queued["id"]), "the transition")

        def told(position):
            return [
                item
                for m in mine.messages
                if m["kind"] == "queue"
                for item in m["items"]
                if item["id"] == queued["id"] and item["queue"]["position"] == position
            ]

        wait_for(lambda: told(2), "the second place")
        full.call("DELETE", f"allocations/{first['id']}", user="user1")
        wait_for(lambda: told(1), "the first place")
        assert told(1)[0]["queue"]["reason"]["message"]
        wait_for(lambda: [m for m in other.messages if m["kind"] == "queue" and m["queue_length"] == 1 and not m["items"]], "others know the length")
        stop(full, full.holders[0])
        wait_for(lambda: "dispatched" in mine.causes(queued["id"]), "its turn")
        wait_for(lambda: [m for m in mine.messages if m["kind"] == "queue"][-1]["items"] == [], "it has left the queue")
        assert "user0" not in json.dumps(other.messages)
        assert "user1" not in json.dumps(mine.messages)
        assert [m for m in mine.messages if m["kind"] == "capacity"][-1]["queue_length"] == 0


def test_what_else_could_be_asked_for_is_told(full):
    queued = full.launch("user0", "patient", gpus=2).json()
    placed(full, queued, 1)
    told = full.call("POST", "decisions", user="user1", json={"environment_template": "trivial", "gpus": 2, "alternatives": True}).json()
    assert told["outcome"] == "queue"
    assert told["wait"] is None or 0 <= told["wait"]["p10_seconds"] <= told["wait"]["p50_seconds"] <= told["wait"]["p90_seconds"]
    assert tuple(told["alternatives"][0][name] for name in ("kind", "outcome")) == ("fewer_gpus", "queue")
    assert told["alternatives"][-1]["kind"] == "evening"
    assert told["alternatives"][0]["message"].startswith("With 1 GPU ")
    others = full.call("GET", f"allocations/{queued['id']}/alternatives", user="user0").json()["items"]
    assert [other["options"].get("gpus") for other in others] == [1, 0]
    assert others[-1]["message"] == "Without GPUs you could start now."
    assert full.call("GET", f"allocations/{queued['id']}/alternatives", user="user1").status_code == 404


def test_estimate_that_the_keeper_stored_is_sent_with_the_place(full):
    queued = full.launch("user0", "patient", gpus=2).json()
    placed(full, queued, 1)
    factory = full.hub.factory
    at = factory.clock()

    def told():
        with factory.database.write() as connection:  # the keeper may write that nobody knows at the same time
            factory.queue_outlooks.write_waits(connection, waits={"waits": [[queued["id"], 600, 2100, 7200]]}, at=at)
        return look(full, queued)["queue"]["wait"]

    wait = wait_for(told, "the estimate is there")
    assert (wait["p10_seconds"], wait["p50_seconds"], wait["p90_seconds"]) == (600, 2100, 7200)
    assert datetime.fromisoformat(wait["as_of"]) == at
