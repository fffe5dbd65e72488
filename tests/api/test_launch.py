"""A session over REST: launch, run, stop; and every way in which a launch can go wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from decimal import Decimal

import pytest

from tests.support.hub import ADMIN, wait_for


def test_a_session_is_held_runs_and_ends(place):
    answer = place.launch("user0", gpus=2)
    assert answer.status_code == 201, answer.text
    held = answer.json()
    assert answer.headers["Location"].endswith(f"/api/v1/allocations/{held['id']}")
    assert held["server_name"] == "trivial"
    assert len(held["devices"]) == 2
    active = place.wait_state("user0", held["id"], "active")
    assert active["url"] == "/user/user0/trivial/"
    assert datetime.fromisoformat(active["started_at"]) >= datetime.fromisoformat(active["held_at"])
    assert active["requested_at"].endswith("Z")
    assert len(active["requested_at"]) == 27
    assert [step["to"] for step in active["history"]][:1] == ["held"]
    assert active["decision"]["outcome"] == "admit"
    stopped = place.call("DELETE", f"allocations/{held['id']}", user="user0")
    assert stopped.status_code == 202, stopped.text
    ended = place.wait_state("user0", held["id"], "ended")
    assert ended["end_cause"] == "stopped_by_user"
    assert ended["cost_so_far"]["currency"]
    assert place.call("DELETE", f"allocations/{held['id']}", user="user0").status_code == 204


@pytest.fixture(autouse=True)
def nothing_runs(place):
    yield
    place.stop_everything()


INVALID = [
    ("environment_template", {"environment_template": "nonsense"}),
    ("environment_template", {"environment_template": "trivial\n"}),
    ("environment_template", {"environment_template": "{user}"}),
    ("gpus", {"gpus": 5}),
    ("gpus", {"gpus": -1}),
    ("gpus", {"gpus": "2"}),
    ("gpus", {"gpus": 2.0}),
    ("gpus", {"gpus": True}),
    ("gpus", {"gpus": [1]}),
    ("gpu_type", {"gpus": 1, "gpu_type": "abacus"}),
    ("project", {"project": "nobody-knows"}),
    ("colour", {"colour": "red"}),
    ("server_name", {"server_name": "A b"}),
    ("server_name", {"server_name": "x" * 31}),
    ("server_name", {"server_name": ""}),
    ("server_name", {"server_name": "a\n"}),
    ("user", {"user": 7}),
    ("if_full", {"if_full": "perhaps"}),
    ("if_full", {"if_full": None}),
]


@pytest.mark.parametrize(("field", "options"), INVALID, ids=str)
def test_an_invalid_option_is_named_and_nothing_is_held(place, field, options):
    answer = place.call("POST", "allocations", user="user0", json={"environment_template": "trivial", **options})
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid_option"
    assert field in {reason["field"] for reason in problem["reasons"]}, problem
    assert not place.hub.open_allocations()


@pytest.mark.parametrize("name", ["", "/", "user0/x", "user0!user=user1", "nobody", "..", "\ud800", "\x00", "ü" * 300], ids=ascii)
def test_a_person_who_does_not_exist_is_404_whatever_the_name(place, name):
    for user in ("user0", ADMIN):
        for path in ("allocations", "decisions"):
            answer = place.call(
                "POST",
                path,
                user=user,
                json={"environment_template": "trivial", "user": name, "server_name": "x"}
                if path == "allocations"
                else {"environment_template": "trivial", "user": name},
            )
            assert answer.status_code == 404, answer.text
    assert not place.hub.open_allocations()


def test_what_may_be_done_when_it_is_full_is_named(place):
    problem = place.call("POST", "allocations", user="user0", json={"environment_template": "trivial", "if_full": "perhaps"}).json()
    assert problem["reasons"][0]["allowed"] == ["queue", "fail"]


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (b"{", {"Content-Type": "application/json"}),
        (b"[1]", {"Content-Type": "application/json"}),
        (b"\xff\xfe", {"Content-Type": "application/json"}),
        (b"", {"Content-Type": "application/json"}),
        (b"environment_template=trivial", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b'{"environment_template": "trivial"}', {"Content-Type": "text/plain"}),
        (b'{"environment_template": "' + b"x" * 1_000_000 + b'"}', {"Content-Type": "application/json"}),
        (b"[" * 50_000, {"Content-Type": "application/json"}),
    ],
    ids=["cut", "list", "not utf-8", "empty", "form", "text", "1 MB", "deep"],
)
def test_a_body_that_cannot_be_read_is_an_invalid_option(place, data, headers):
    answer = place.call("POST", "allocations", user="user0", data=data, headers=headers)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "invalid_option"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "nonsense", 404),
        ("GET", "allocations/not-an-id", 404),
        ("GET", "allocations/00000000-0000-0000-0000-000000000000", 404),
        ("DELETE", "allocations/00000000-0000-0000-0000-000000000000", 404),
        ("GET", "users/nobody/quota", 404),
        ("PUT", "allocations", 405),
        ("DELETE", "capacity", 405),
        ("TRACE", "capacity", 405),
        ("OPTIONS", "capacity", 405),
        ("POST", "allocations/00000000-0000-0000-0000-000000000000/extend", 404),
    ],
)
def test_unknown_addresses_and_methods_are_problems(place, method, path, status):
    answer = place.call(method, path, user="user0")
    assert answer.status_code == status
    assert answer.json()["status"] == status
    if status == 405:
        assert "GET" in answer.headers["Allow"]


def test_a_refusal_names_the_limit_what_holds_it_and_what_to_do(place):
    assert place.launch("user5", "first", gpus=2).status_code == 201
    answer = place.launch("user5", "second", gpus=1, if_full="fail")
    assert answer.status_code == 409
    reason = answer.json()["reasons"][0]
    assert answer.json()["code"] == reason["code"] == "quota_in_use"
    assert (reason["dimension"], reason["limit"], reason["used"], reason["requested"]) == ("gpus", "2", "2", "1")
    assert reason["held_by"] == ["first"]
    assert reason["remedies"]
    assert place.launch("user5", "third", gpus=3).json()["code"] == "quota_exceeded"
    denied = place.call("GET", "allocations", user="user5", params={"state": "denied"}).json()["items"]
    assert [entry["server_name"] for entry in denied][:2] == ["third", "second"]
    why = place.call("GET", f"allocations/{denied[1]['id']}/decision", user="user5").json()
    assert why["outcome"] == "deny"
    assert why["agrees"]


def test_a_full_machine_is_429_with_retry_after(place):
    assert place.launch("user5", gpus=2).status_code == 201
    assert place.launch("user6", gpus=2).status_code == 201
    answer = place.launch("user7", gpus=1, if_full="fail")
    assert answer.status_code == 429
    assert answer.json()["code"] == "capacity"
    assert int(answer.headers["Retry-After"]) > 0
    assert "user5" not in answer.text
    free = place.call("GET", "capacity", user="user7").json()["gpu_types"][0]
    assert (free["total"], free["free"], free["held"]) == (4, 0, 4)


def test_a_dry_run_holds_nothing_and_tells_the_price(place):
    answer = place.call("POST", "decisions", user="user0", json={"environment_template": "trivial", "gpus": 2})
    assert answer.status_code == 200
    found = answer.json()
    assert found["outcome"] == "admit"
    line = found["price"]["lines"][0]
    assert Decimal(found["price"]["per_hour"]) == 2 * Decimal(line["unit_price"]) == Decimal(line["per_hour"])
    assert found["options"]["memory_gib"] == 1
    assert place.call("POST", "decisions", user="user0", json={"environment_template": "trivial", "gpus": 3}).json()["outcome"] == "deny"
    assert not place.hub.open_allocations()


def test_the_same_idempotency_key_gives_the_first_answer_and_one_session(place):
    headers = {"Idempotency-Key": "retry-1"}
    body = {"environment_template": "trivial", "gpus": 1}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: place.call("POST", "allocations", user="user0", json=body, headers=headers), range(4)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(place.hub.open_allocations()) == 1
    other = place.call("POST", "allocations", user="user0", json={**body, "gpus": 2}, headers=headers)
    assert other.status_code == 409
    refused = [place.call("POST", "allocations", user="user0", json={**body, "gpus": 4}, headers={"Idempotency-Key": "retry-2"}) for _ in range(2)]
    assert [answer.status_code for answer in refused] == [403, 403]
    assert len([a for a in place.hub.allocations_of("user0") if a.request.gpus == 4]) == 1


def test_names_are_made_from_the_template_and_count_up(place):
    names = [place.launch("user8").json()["server_name"] for _ in range(2)]
    assert names == ["trivial", "trivial-2"]
    assert place.launch("user8", "trivial").json()["code"] == "server_exists"


def test_a_failed_start_gives_everything_back(place):
    held = place.launch("user9", environment_template="failing", gpus=2)
    if held.status_code == 201:
        place.wait_state("user9", held.json()["id"], "ended", "withdrawn", "expired", seconds=40)
    else:
        assert held.json()["status"] in {500, 503, 409}, held.text
    wait_for(lambda: not place.hub.open_allocations(), "nothing is held", 40)
    last = place.hub.allocations_of("user9")[-1]
    assert last.end_cause == "start_failed"


def test_pages_of_a_list_have_each_row_once(place):
    for number in range(3):
        place.launch("user6", f"page-{number}", gpus=4)
    seen, cursor = [], None
    while True:
        page = place.call("GET", "allocations", user="user6", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [entry["id"] for entry in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == len(place.hub.allocations_of("user6"))
    for params in ({"limit": 0}, {"limit": "x"}, {"cursor": "x"}, {"state": "odd"}, {"from": "yesterday"}, {"to": "2026-11-01T00:00:00"}):
        assert place.call("GET", "allocations", user="user6", params=params).status_code == 400, params


def test_usage_and_costs_have_the_session(place):
    held = place.launch("user1", "priced", gpus=1).json()
    place.wait_ready("user1", held["id"])
    place.call("DELETE", f"allocations/{held['id']}", user="user1")
    ended = place.wait_state("user1", held["id"], "ended")
    seconds = (datetime.fromisoformat(ended["ended_at"]) - datetime.fromisoformat(ended["started_at"])).total_seconds()
    report = place.call("GET", "costs", user="user1", params={"group_by": "allocation"}).json()
    row = next(row for row in report["rows"] if row["keys"]["allocation"].replace("-", "") == held["id"].replace("-", ""))
    assert float(row["gpu_seconds"]) == pytest.approx(seconds, abs=1e-6)
    assert row["amount"] == ended["cost_so_far"]["amount"]
    assert row["currency"]
    assert {"from", "to", "complete_until", "totals"} <= set(report)
    assert place.call("GET", "usage", user="user1").json()["totals"][0]["amount"] is None
    assert place.call("GET", "usage", user="user1", params={"user": "user0"}).status_code == 404
    assert place.call("GET", "costs", user="user1", params={"group_by": "colour"}).status_code == 400
    assert place.call("GET", "costs", user="user1", params={"from": "2026-02-01", "to": "2026-01-01"}).status_code == 400
