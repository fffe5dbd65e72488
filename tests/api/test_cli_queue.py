"""The users' commands for the queue, as typed, with the keeper at work."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import pytest

from tests.support.hub import wait_for


@pytest.fixture
def begun(full):
    """Start a command and leave it running."""
    running = []

    def run(*words: str, user: str = "user0"):
        command, variables = full.typed(*words, user=user)
        # what starts tests in the background lets them ignore Ctrl-C, and whatever they start
        process = subprocess.Popen(["env", "--default-signal=INT", *command], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        running.append(process)
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def queued_of(place, user):
    return [allocation for allocation in place.queued() if allocation.user_name == user]


def test_a_launch_that_waits_says_its_place_and_how_to_withdraw_it(full, typed):
    launched = typed("launch", "trivial", "--gpus", "2", "--name", "patient", user="user0")
    assert launched.returncode == 0, launched.stderr
    assert re.search(r"^patient is queued: [0-9a-f-]{36}$", launched.stdout, re.MULTILINE), launched.stdout
    assert "Next in line. Waiting for 2 " in launched.stdout
    short = launched.stdout.split("queued: ")[1][:8]
    assert f"aiplatform stop {short}" in launched.stdout
    assert re.search(r"patient +trivial +2 \S+ +queued, next in line", typed("list", user="user0").stdout)
    shown = typed("show", "patient", user="user0").stdout
    assert re.search(r"^place +Next in line\. Waiting for 2 ", shown, re.MULTILINE), shown
    assert re.search(r"^kept until .* JST", shown, re.MULTILINE)
    why = typed("why", "patient", user="user0").stdout
    assert why.startswith("Next in line.")
    assert "Queued at" in why
    assert "1 request waits" in typed("capacity").stdout
    withdrawn = typed("stop", short, user="user0")
    assert (withdrawn.returncode, withdrawn.stdout) == (0, "patient is withdrawn.\n")
    assert typed("stop", short, user="user0").stdout == "It was over already.\n"
    assert not full.queued()


def test_who_does_not_want_to_wait_is_refused(full, typed):
    refused = typed("launch", "trivial", "--gpus", "1", "--no-queue", user="user0")
    assert refused.returncode == 1
    assert json.loads(typed("launch", "trivial", "--gpus", "1", "--no-queue", "--json", user="user0").stderr)["code"]
    dry = typed("launch", "trivial", "--gpus", "1", "--dry-run", user="user0")
    assert (dry.returncode, dry.stdout.split(";")[0]) == (0, "Would wait in the queue, next in line")
    assert typed("launch", "trivial", "--gpus", "1", "--dry-run", "--no-queue", user="user0").returncode == 1
    assert not full.queued()


def test_the_queue_and_what_can_be_done_in_it(full, typed):
    typed("launch", "trivial", "--gpus", "2", "--name", "secret", user="user2")
    typed("launch", "trivial", "--gpus", "1", "--name", "mine", user="user0")
    listed = typed("queue", user="user0")
    assert listed.returncode == 0, listed.stderr
    lines = listed.stdout.splitlines()
    assert lines[0].split() == ["PLACE", "ID", "USER", "SERVER", "GPUS", "WAITING", "STARTS", "IN"]
    assert re.search(r"^ +\d+ +[0-9a-f]{8} +user0 +mine +1 ", listed.stdout, re.MULTILINE), listed.stdout
    assert re.search(r"^ +\d+ +- +- +- +2 ", listed.stdout, re.MULTILINE), listed.stdout
    assert "secret" not in listed.stdout
    assert re.search(r"^mine: (Next|2nd) in line\. ", listed.stdout, re.MULTILINE)
    as_json = json.loads(typed("queue", "--json", user="user0").stdout)
    assert as_json["queue_length"] == len(as_json["items"]) == 2
    changed = typed("change", "mine", "--gpus", "2", user="user0")
    assert changed.returncode == 0, changed.stderr
    assert re.match(r"mine asks for 2 \S+ GPUs now\.", changed.stdout), changed.stdout
    assert json.loads(typed("change", "mine", "--gpus", "1", "--json", user="user0").stdout)["gpus"] == 1
    assert typed("change", "mine", "--gpus", "9", user="user0").returncode == 2
    assert typed("change", "mine", "--gpus", "3", user="user0").returncode == 1
    assert typed("change", "mine", user="user0").returncode == 2
    assert typed("change", "secret", "--gpus", "1", user="user0").returncode == 1
    confirmed = typed("confirm", "mine", user="user0")
    assert re.match(r"mine stays in the queue until \d{4}-.* JST\.", confirmed.stdout), confirmed.stdout + confirmed.stderr
    assert json.loads(typed("confirm", "mine", "--json", user="user0").stdout)["queue"]["expires_at"].endswith("Z")
    assert typed("confirm", full.holders[0]["id"], user="user5").returncode == 1


def test_an_empty_queue_is_said_to_be_empty(kept, typed):
    assert typed("queue").stdout == "Nobody waits.\n"


def test_waiting_tells_each_place_and_ends_when_the_server_answers(full, begun):
    before = full.launch("user1", "before", gpus=1).json()
    waiting = begun("launch", "trivial", "--gpus", "1", "--name", "watched", "--wait")
    assert waiting.stdout.readline().startswith("watched: 2nd in line.")
    full.call("DELETE", f"allocations/{before['id']}", user="user1")
    assert waiting.stdout.readline().startswith("watched: Next in line.")
    full.call("DELETE", f"allocations/{full.holders[0]['id']}", user="user5")
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, err
    *told, running, address = out.splitlines()
    assert told in ([], ["watched is starting …"]), "a quick start may never be seen"
    assert running.startswith("watched is running on GPU-")
    assert address.endswith("/user/user0/watched/")


def test_who_stops_waiting_stays_in_the_queue_and_is_told_so(full, begun):
    waiting = begun("launch", "trivial", "--gpus", "1", "--name", "left", "--wait")
    assert waiting.stdout.readline().startswith("left: Next in line.")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    (allocation,) = queued_of(full, "user0")
    assert f"stays in the queue and starts by itself when its turn comes. To withdraw it: aiplatform stop {str(allocation.id)[:8]}" in out
    assert "Traceback" not in err
    full.call("DELETE", f"allocations/{full.holders[0]['id']}", user="user5")
    full.wait_state("user0", str(allocation.id), "active")


def test_waiting_quietly_prints_json_alone(full, begun):
    waiting = begun("launch", "trivial", "--gpus", "1", "--wait", "--json")
    wait_for(lambda: queued_of(full, "user0"), "it is queued")
    full.call("DELETE", f"allocations/{full.holders[0]['id']}", user="user5")
    out, err = waiting.communicate(timeout=60)
    assert (waiting.returncode, err) == (0, "")
    assert json.loads(out)["is_ready"]


def test_waiting_for_what_somebody_withdraws_ends_with_the_reason(full, begun):
    waiting = begun("launch", "trivial", "--gpus", "1", "--name", "gone", "--wait")
    assert waiting.stdout.readline().startswith("gone: Next in line.")
    (allocation,) = queued_of(full, "user0")
    full.call("DELETE", f"allocations/{allocation.id}", user="admin")
    out, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 1, out
    assert "gone did not start: stopped_by_admin" in err


def test_what_if_and_why_say_what_would_be_quicker(full, typed):
    typed("launch", "trivial", "--gpus", "2", "--name", "patient", user="user0")
    asked = typed("what-if", "trivial", "--gpus", "2", user="user1")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.startswith("Would wait in the queue")
    assert re.search(r"^(How long, nobody knows yet|About .*)\.$", asked.stdout, re.MULTILINE), asked.stdout
    assert re.search(r"^With 1 GPU it would wait", asked.stdout, re.MULTILINE), asked.stdout
    assert re.search(r"^Asked for at 20:00 ", asked.stdout, re.MULTILINE), asked.stdout
    why = typed("why", "patient", "--what-if", user="user0").stdout
    assert "Without GPUs you could start now." in why
    assert json.loads(typed("why", "patient", "--what-if", "--json", user="user0").stdout)["alternatives"][0]["kind"] == "fewer_gpus"
    assert typed("what-if", "trivial", "--gpus", "9", user="user1").returncode == 2
