"""Every door of the hub leads into the same chain."""

from __future__ import annotations

import os
import pwd
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiplatform_hub.domain.allocations import AllocationState, EndCause
from tests.support.hub import FAILING, SLOW, TRIVIAL, RealHub, wait_for

BAD_OPTIONS = [
    {},
    {"environment_template": "nothing"},
    {"environment_template": TRIVIAL, "gpus": "2"},
    {"environment_template": TRIVIAL, "gpus": 2.0},
    {"environment_template": TRIVIAL, "gpus": True},
    {"environment_template": TRIVIAL, "gpus": 5},
    {"environment_template": TRIVIAL, "gpus": -1},
    {"environment_template": TRIVIAL, "image": "x"},
    {"environment_template": f"{TRIVIAL}\n"},
    {"environment_template": "{userid.__class__}"},
    {"environment_template": [TRIVIAL]},
    {"environment_template": TRIVIAL, "project": "x" * 1_000_000},
]


def test_rest_with_options_starts_a_metered_server(hub: RealHub) -> None:
    assert hub.start_server("user0", "mine", {"environment_template": TRIVIAL, "gpus": 1}).status_code == 201
    (allocation,) = hub.open_allocations()
    assert (allocation.state, allocation.server_name, allocation.door) == (AllocationState.ACTIVE, "mine", "hub")
    wait_for(lambda: hub.allocation(allocation.id).ready_at, "its readiness is recorded")
    assert hub.stop_server("user0", "mine").status_code == 204
    ended = hub.allocation(allocation.id)
    assert (ended.state, ended.end_cause, ended.estimated) == (AllocationState.ENDED, EndCause.STOPPED, False)
    assert ended.started_at is not None
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.started_at


def test_server_sees_exactly_its_two_devices(hub: RealHub) -> None:
    hub.start_server("user0", "two", {"environment_template": TRIVIAL, "gpus": 2}).raise_for_status()
    (allocation,) = hub.open_allocations()
    seen = hub.ask("user0", "two")
    assert tuple(seen["environment"]["CUDA_VISIBLE_DEVICES"].split(",")) == allocation.devices
    assert len(set(allocation.devices)) == 2
    assert seen["environment"]["AIPLATFORM_ALLOCATION_ID"] == str(allocation.id)


def test_server_without_gpus_sees_none(hub: RealHub) -> None:
    hub.start_server("user0", "none", {"environment_template": TRIVIAL}).raise_for_status()
    assert hub.ask("user0", "none")["environment"]["CUDA_VISIBLE_DEVICES"] == ""


def test_server_never_runs_as_root_and_has_no_secret_of_the_hub(hub: RealHub) -> None:
    hub.start_server("user0", "who", {"environment_template": TRIVIAL}).raise_for_status()
    seen = hub.ask("user0", "who")
    assert seen["uid"] == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())
    assert seen["environment"]["HOME"].startswith(str(hub.settings.homes_dir))
    assert not {"CONFIGPROXY_AUTH_TOKEN", "AIPLATFORM_PLATFORM_TOKEN"} & set(seen["names"])


def test_rest_without_body_takes_the_stored_options(hub: RealHub) -> None:
    options = {"environment_template": TRIVIAL, "gpus": 1}
    assert hub.api("PUT", "users/user0/servers/stored", user="user0", json={"user_options": options}).status_code == 201
    assert hub.start_server("user0", "stored").status_code == 201
    assert hub.open_allocations()[0].request.gpus == 1


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=lambda options: str(options)[:40])
def test_bad_options_are_refused_and_hold_nothing(hub: RealHub, options: dict[str, object]) -> None:
    answer = hub.start_server("user1", "bad", options)
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["message"]) > 20
    assert not hub.open_allocations()
    assert hub.server("user1", "bad") is None or not hub.server("user1", "bad")["pending"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_bad_stored_options_are_refused_at_start(hub: RealHub, method: str) -> None:
    name = f"stored-{method.lower()}"
    if method == "PATCH":
        hub.api("PUT", f"users/user1/servers/{name}", user="user1", json={}).raise_for_status()
    stored = hub.api(method, f"users/user1/servers/{name}", user="user1", json={"user_options": {"environment_template": TRIVIAL, "gpus": "4"}})
    assert stored.status_code in {200, 201}
    answer = hub.start_server("user1", name)
    assert answer.status_code == 400
    assert "gpus" in answer.json()["message"]
    assert not hub.open_allocations()


def test_start_without_any_options_names_what_to_choose(hub: RealHub) -> None:
    answer = hub.start_server("user2")
    assert answer.status_code == 400
    assert "environment_template" in answer.json()["message"]
    assert TRIVIAL in answer.json()["message"]


def test_more_than_the_tier_allows_is_forbidden(hub: RealHub) -> None:
    answer = hub.start_server("user1", "four", {"environment_template": TRIVIAL, "gpus": 4})
    assert answer.status_code == 403
    assert not hub.open_allocations()


def test_own_limit_in_use_is_a_conflict(hub: RealHub) -> None:
    hub.start_server("user1", "first", {"environment_template": TRIVIAL, "gpus": 2}).raise_for_status()
    answer = hub.start_server("user1", "second", {"environment_template": TRIVIAL, "gpus": 1})
    assert answer.status_code == 409
    assert "first" in answer.json()["message"]


def test_taken_gpus_give_429_with_retry_after(hub: RealHub) -> None:
    for user in ("user0", "user1"):
        hub.start_server(user, "full", {"environment_template": TRIVIAL, "gpus": 2}).raise_for_status()
    answer = hub.start_server("user2", "late", {"environment_template": TRIVIAL, "gpus": 1})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


def test_environment_that_is_not_built_names_its_command(hub: RealHub) -> None:
    answer = hub.start_server("user1", "torch", {"environment_template": "pytorch"})
    assert answer.status_code == 409
    assert "aiplatform environments build pytorch" in answer.json()["message"]
    assert not hub.open_allocations()


def test_spawn_page_starts_with_its_form(hub: RealHub) -> None:
    browser = hub.browser("user3")
    page = browser.get("/hub/spawn/user3/paged")
    assert page.status_code == 200
    assert 'name="environment_template"' in page.text
    assert 'name="gpus"' in page.text
    answer = browser.post("/hub/spawn/user3/paged", {"environment_template": TRIVIAL, "gpus": "1", "memory_gib": "", "project": ""})
    assert answer.status_code == 302, answer.text
    hub.wait_ready("user3", "paged")
    assert hub.open_allocations()[0].request.gpus == 1


@pytest.mark.parametrize("fields", [{"environment_template": TRIVIAL, "gpus": "2.0"}, {"environment_template": TRIVIAL, "evil": "1"}])
def test_spawn_page_refuses_bad_fields_with_links(hub: RealHub, fields: dict[str, str]) -> None:
    answer = hub.browser("user3").post("/hub/spawn/user3/paged", fields)
    assert answer.status_code == 400
    assert "/services/platform/launch" in answer.text
    assert not hub.open_allocations()


def test_link_with_options_never_spawns(hub: RealHub) -> None:
    browser = hub.browser("user3")
    answer = browser.get(f"/hub/spawn/user3/linked?opt-environment_template={TRIVIAL}&opt-gpus=1")
    assert answer.status_code == 400
    assert "confirm" in answer.text.lower()
    assert f"/services/platform/launch?environment_template={TRIVIAL}&amp;gpus=1&amp;server_name=linked" in answer.text
    time.sleep(1.2)
    assert hub.server("user3", "linked") is None or not hub.server("user3", "linked")["pending"]
    assert not hub.allocations_of("user3") or not hub.open_allocations()


def test_failed_start_releases_and_is_priced_nothing(hub: RealHub) -> None:
    answer = hub.start_server("user4", "fails", {"environment_template": FAILING, "gpus": 2})
    assert answer.status_code == 500
    assert "flux" in answer.json()["message"]
    assert not hub.open_allocations()
    last = hub.allocations_of("user4")[-1]
    assert (last.state, last.end_cause) == (AllocationState.ENDED, EndCause.START_FAILED)


def test_failed_start_shows_its_log_escaped(hub: RealHub) -> None:
    browser = hub.browser("user4")
    answer = browser.post("/hub/spawn/user4/fails", {"environment_template": FAILING, "gpus": "1"})
    text = answer.text
    if answer.status_code == 302:  # it failed after the hub's patience: then the pending page tells
        text = wait_for(lambda: "flux" in (page := browser.get("/hub/spawn-pending/user4/fails").text) and page, "the failure is shown")
    assert "&lt;b&gt;flux&lt;/b&gt;" in text
    assert "<b>flux</b>" not in text


def test_cancelled_start_leaves_nothing(hub: RealHub) -> None:
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(hub.start_server, "user5", "slow", {"environment_template": SLOW, "gpus": 1})
        allocation = wait_for(hub.open_allocations, "the start has begun")[0]
        assert hub.stop_server("user5", "slow").status_code in {202, 204}
        wait_for(lambda: not hub.open_allocations(), "the cancelled start is released", seconds=10)
        starting.result()
    record = hub.factory.spool.read(allocation.id)
    assert record is None or not record.is_alive
    assert hub.allocation(allocation.id).state is AllocationState.ENDED


def test_start_says_in_words_how_far_it_is(hub: RealHub) -> None:
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(hub.start_server, "user5", "slow", {"environment_template": SLOW, "gpus": 2})
        wait_for(hub.open_allocations, "the start has begun")
        with hub.api("GET", "users/user5/servers/slow/progress", user="user5", stream=True) as events:
            text = "".join(line.decode() for line in events.iter_lines())
        starting.result()
    assert "Waiting for it to answer (1 s so far)" in text
    assert '"ready": true' in text


def test_renamed_server_keeps_its_identity(hub: RealHub) -> None:
    hub.start_server("user6", "before", {"environment_template": TRIVIAL}).raise_for_status()
    spawner_id = hub.open_allocations()[0].spawner_id
    hub.stop_server("user6", "before").raise_for_status()
    assert hub.api("PATCH", "users/user6/servers/before", user="user6", json={"name": "after"}).status_code == 200
    assert hub.start_server("user6", "after").status_code == 201
    (allocation,) = hub.open_allocations()
    assert (allocation.server_name, allocation.spawner_id) == ("after", spawner_id)


def test_server_that_ends_by_itself_is_settled(hub: RealHub) -> None:
    hub.start_server("user6", "dies", {"environment_template": TRIVIAL, "gpus": 1}).raise_for_status()
    (allocation,) = hub.open_allocations()
    wait_for(lambda: hub.allocation(allocation.id).ready_at, "it is ready")
    os.kill(hub.ask("user6", "dies")["pid"], 9)
    wait_for(lambda: not hub.open_allocations(), "its end is noticed", seconds=15)
    assert hub.allocation(allocation.id).end_cause is EndCause.KILLED
