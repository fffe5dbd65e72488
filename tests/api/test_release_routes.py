"""What becomes of a session over REST, the command line and the event stream; the keeper and the culler stop through a real hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, update

from aiplatform_hub.config import arguments_of
from aiplatform_hub.services.culler.command import CONFIG_FILE, MODULE, asking_us
from aiplatform_hub.storage import schema
from tests.support.hub import ADMIN, REPOSITORY, wait_for


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def release(place, session, user=None) -> dict:
    return place.call("GET", f"allocations/{session['id']}", user=user or session["user"]).json()["release"]


@contextmanager
def culling(place, *words: str):
    """Run the stock culler with our configuration, an hour ahead of the hub: for it nobody has used any server for that long."""
    config = place.hub.folder / "culler_ahead.py"
    config.write_text(AHEAD)
    own = (sys.executable, "-m", MODULE, f"--url={place.hub.hub_api_url}", "--cull-every=1", f"--config={config}", *words)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JUPYTERHUB_API_TOKEN": f"{place.hub.service_token}c"}
    with (place.hub.folder / "culler.log").open("ab") as log:
        process = subprocess.Popen((*own, "--", *arguments_of(place.hub.settings)), cwd=place.hub.folder, env=environment, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


AHEAD = f"""
import jupyterhub_idle_culler
from datetime import timedelta
its_clock = jupyterhub_idle_culler.utcnow
jupyterhub_idle_culler.utcnow = lambda: its_clock() + timedelta(hours=1)
exec(open({str(CONFIG_FILE)!r}).read())
"""


def warned_long_ago(place, session) -> None:
    """Wait until the owner of a session is warned, and let that have been an hour ago."""
    wait_for(lambda: release(place, session)["why"] == "inactive", "its owner is warned", 60)
    columns = schema.allocation_events.c
    with place.hub.factory.database.write() as connection:
        of_it = (columns.allocation_id == UUID(session["id"]), columns.cause == "release_warned")
        connection.execute(update(schema.allocation_events).where(*of_it).values(at=datetime.now(UTC) - timedelta(hours=1)))


def grow_old(place, session, **age: float) -> None:
    """Let a session have begun earlier than it did."""
    begun = datetime.now(UTC) - timedelta(**age)
    with place.hub.factory.database.write() as connection:
        connection.execute(update(schema.allocations).where(schema.allocations.c.id == UUID(session["id"])).values(started_at=begun))


def test_active_session_says_what_becomes_of_it(place):
    session = place.wait_state("user1", place.launch("user1", "told", gpus=1).json()["id"], "active")
    found = session["release"]
    started = instant(session["started_at"])
    assert (found["action"], found["why"], found["is_if_somebody_waits"], found["is_somebody_waiting"]) == ("keep", "session_cap", True, False)
    assert instant(found["deadline"]) == started + timedelta(hours=6)
    assert instant(found["guaranteed_until"]) == started + timedelta(minutes=30)
    assert instant(found["can_extend_until"]) > datetime.now(UTC) + timedelta(hours=1, minutes=50)
    assert (found["extended_until"], found["idle_since"]) == (None, None)
    (item,) = place.call("GET", "allocations", user="user1", params={"state": "active"}).json()["items"]
    assert item["release"].keys() == found.keys()
    place.stop_everything()
    assert release(place, session) is None


def test_owner_extends_and_an_admin_leaves_a_row(place, typed):
    session = place.launch("user1", "longer", gpus=1).json()
    place.wait_state("user1", session["id"], "active")
    answer = place.call("POST", f"allocations/{session['id']}/extend", user="user1")
    assert answer.status_code == 200, answer.text
    extended = instant(answer.json()["release"]["extended_until"])
    assert timedelta(hours=1, minutes=59) < extended - datetime.now(UTC) <= timedelta(hours=2)
    assert [step["cause"] for step in answer.json()["history"]][-1] == "extended"
    assert not [event for event in place.audit() if event.action == "extend_session"]
    assert place.call("POST", f"allocations/{session['id']}/extend", user="user2").status_code == 404
    assert place.call("POST", f"allocations/{session['id']}/extend", user=ADMIN).status_code == 200
    (row,) = [event for event in place.audit() if event.action == "extend_session"]
    assert (row.actor, row.target) == (ADMIN, f"allocation:{session['id']}")
    shown = typed("extend", "longer")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("longer is kept until 20")
    assert json.loads(typed("extend", "longer", "--json").stdout)["release"]["extended_until"] is not None
    grow_old(place, session, hours=25)
    refused = place.call("POST", f"allocations/{session['id']}/extend", user="user1")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "1 day from its start" in refused.json()["detail"]
    assert "1 day from its start" in typed("extend", "longer").stderr
    place.stop_everything()


def test_keeper_gives_gpus_over_the_cap_to_who_waits(full):
    """The warning's five minutes are written into the past; everything else happens."""
    holder, other = full.holders
    waiting = full.launch("user7", "next", gpus=2).json()
    assert waiting["state"] == "queued"
    grow_old(full, holder, hours=7)
    warned = wait_for(
        lambda: (found := release(full, holder))["action"] == "warn" and found["is_somebody_waiting"] and found, "it is warned, and somebody waits", 30
    )
    assert warned["why"] == "session_cap"
    assert instant(warned["deadline"]) > datetime.now(UTC) + timedelta(minutes=4)
    with full.hub.factory.database.write() as connection:
        mark = {"allocation_id": UUID(holder["id"]), "at": datetime.now(UTC) - timedelta(minutes=6), "cause": "release_warned"}
        connection.execute(insert(schema.allocation_events), {**mark, "from_state": "active", "to_state": "active", "actor": "keeper"})
    ended = full.wait_state(holder["user"], holder["id"], "ended", seconds=60)
    assert ended["end_cause"] == "session_cap"
    assert [step["cause"] for step in ended["history"]][-2:] == ["release_begins", "session_cap"]
    full.wait_state("user7", waiting["id"], "active", seconds=60)
    assert release(full, other)["action"] == "keep"


def test_stock_culler_stops_servers_without_gpus_and_no_others(place):
    bare = place.launch("user1", "bare").json()
    with_gpu = place.launch("user2", "gpu", gpus=1).json()
    for session in (bare, with_gpu):
        place.wait_state(session["user"], session["id"], "active")
        wait_for(lambda id_=session["id"], user=session["user"]: place.call("GET", f"allocations/{id_}", user=user).json()["is_ready"], "it is ready", 30)
    with culling(place, "--timeout=1"):
        warned_long_ago(place, bare)
        notices = place.call("GET", "notifications", user="user1").json()["items"]
        ended = place.wait_state("user1", bare["id"], "ended", seconds=60)
        again = place.launch("user1", "again").json()  # so the culler has surely looked at the other one as often
        place.wait_state("user1", again["id"], "active")
        warned_long_ago(place, again)
        place.wait_state("user1", again["id"], "ended", seconds=60)
    assert ended["end_cause"] == "culled"
    assert [(told["kind"], told["allocation_id"]) for told in notices][:1] == [("release_warning", bare["id"])]
    assert place.call("GET", f"allocations/{with_gpu['id']}", user="user2").json()["state"] == "active"
    place.stop_everything()


def test_policy_ends_what_the_place_would_not_and_takes_the_warning_back(place):
    """The culler was started never to end anything; policies change that and change it back, while it runs."""
    bare = place.launch("user1", "bare").json()
    place.wait_state("user1", bare["id"], "active")
    wait_for(lambda: place.call("GET", f"allocations/{bare['id']}", user="user1").json()["is_ready"], "it is ready", 30)
    template, project = bare["environment_template"], bare["project"]
    with culling(place, "--timeout=0"):
        follow(place, f"environment_template_inactive_after: {{{template}: 30min}}")
        wait_for(lambda: release(place, bare)["why"] == "inactive", "its owner is warned", 60)
        follow(place, f"environment_template_inactive_after: {{{template}: 30min}}\nproject_inactive_after: {{{project}: never}}")
        wait_for(lambda: release(place, bare)["action"] == "keep", "the warning is taken back", 60)
        follow(place, "tier_inactive_after: {default: 30min}")
        warned_long_ago(place, bare)
        ended = place.wait_state("user1", bare["id"], "ended", seconds=60)
    assert ended["end_cause"] == "culled"
    follow(place, "")
    place.stop_everything()


def follow(place, document: str) -> None:
    place.call("PUT", "policy", user=ADMIN, json={"document": document}).raise_for_status()


@pytest.mark.parametrize("broken", ["--database-url=postgresql+psycopg://nobody@127.0.0.1:9/none"])
def test_culler_that_cannot_ask_keeps_everything(place, broken):
    bare = place.launch("user1", "kept").json()
    place.wait_state("user1", bare["id"], "active")
    log = place.hub.folder / "culler.log"
    before = log.stat().st_size if log.exists() else 0
    own = asking_us((sys.executable, "-m", MODULE, f"--url={place.hub.hub_api_url}", "--timeout=1", "--cull-every=1"), place.hub.settings)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "JUPYTERHUB_API_TOKEN": f"{place.hub.service_token}c"}
    with log.open("ab") as file:
        process = subprocess.Popen((*own, broken), cwd=place.hub.folder, env=environment, stdout=file, stderr=file)
    try:
        wait_for(lambda: log.read_bytes()[before:].count(b"is not known: it is kept") >= 2, "the culler says so twice", 60)
    finally:
        process.terminate()
        process.wait(20)
    assert place.call("GET", f"allocations/{bare['id']}", user="user1").json()["state"] == "active"
    place.stop_everything()
