"""All doors lead into one chain on a cluster too, and a race of starts over them gives each GPU to one session."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from aiplatform_hub.domain.allocations import AllocationState
from tests.support.hub import wait_for

PEOPLE = tuple(f"racer{number}" for number in range(15))
STARTS = 60


@pytest.fixture(scope="module")
def stack(make_stack):
    return make_stack(people=PEOPLE)


def rest(stack, user, name, gpus):
    body = {"environment_template": "trivial", "gpus": gpus, "server_name": name, "if_full": "fail"}
    headers = {"Authorization": f"token {stack.tokens[user]}"}
    return requests.post(f"{stack.url}/services/platform/api/v1/allocations", json=body, headers=headers, timeout=60).status_code


def hub_with_options(stack, user, name, gpus):
    return stack.start_server(user, name, {"environment_template": "trivial", "gpus": gpus}).status_code


def hub_with_profile(stack, user, name, gpus):
    return stack.start_server(user, name, {"profile": "trivial", "gpus": str(gpus)}).status_code


def spawn_page(stack, user, name, gpus):
    path = f"/hub/spawn/{user}/{name}"
    answer = stack.browser(user).post(path, {"environment_template": "trivial", "gpus": str(gpus), "memory_gib": "1", "cpu_cores": "1"})
    return answer.status_code


DOORS = (rest, hub_with_options, hub_with_profile, spawn_page)


def stop_all(stack):
    for allocation in stack.open_allocations():
        wait_for(lambda a=allocation: stack.stop_server(a.user_name, a.server_name).status_code in {202, 204, 404}, "stopped", 30, 0.3)
    wait_for(lambda: not stack.open_allocations(), "nothing is open", 30)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_each_door_starts_a_pod_with_its_gpus_and_the_ledger_closes_with_it(stack, door):
    assert door(stack, "racer0", "one", 2) in {200, 201, 202, 302}
    allocation = wait_for(lambda: next((a for a in stack.open_allocations() if a.ready_at), None), f"it is ready\n{stack.log()}", 60)
    assert allocation.request.gpus == 2
    assert len(allocation.devices) == 2
    pod = stack.pods()[allocation.id]
    [container] = [c for c in pod["spec"]["containers"] if c["name"] == "notebook"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert container["resources"]["requests"]["nvidia.com/gpu"] == "2"
    headers = {"Authorization": f"token {stack.tokens['racer0']}"}
    seen = requests.get(f"{stack.url}/user/racer0/one/", headers=headers, timeout=10).json()
    assert len(seen["environment"]["NVIDIA_VISIBLE_DEVICES"].split(",")) == 2
    assert seen["uid"] == 1000
    stop_all(stack)
    [interval] = stack.intervals()[allocation.id]
    assert interval.gpus == 2
    assert not interval.estimated
    wait_for(lambda: not stack.pods(), "the pod is gone", 30)


def test_sixty_starts_at_once_over_every_door_get_four_gpus_each_its_own(stack):
    def start(number):
        user = PEOPLE[number % len(PEOPLE)]
        return DOORS[number % len(DOORS)](stack, user, f"race-{number // len(PEOPLE)}", 1)

    with ThreadPoolExecutor(STARTS) as pool:
        answers = Counter(pool.map(start, range(STARTS)))
    opened = stack.open_allocations()
    devices = [device for allocation in opened for device in allocation.devices]
    assert len(devices) == len(set(devices)) == 4, answers
    assert set(answers) <= {200, 201, 202, 302, 409, 429, 503}, answers
    wait_for(lambda: len(stack.running()) == 4, "four pods run", 60)
    wait_for(lambda: all(a.state is AllocationState.ACTIVE for a in stack.open_allocations()), "all are metered", 30)
    assert {a.id for a in stack.open_allocations()} == stack.running()
    stop_all(stack)
