"""`aiplatform run`: what dies comes back, what runs is left alone, sessions outlive it."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path

import pytest
import requests
from installation import Installation, aiplatform, until

SESSION = {"environment_template": "jupyterlab", "gpus": 1}


def test_login_page_answers_and_people_can_log_in(running: Installation):
    session = requests.Session()
    page = session.get(running.address + "hub/login", timeout=5)
    assert page.ok
    form = {"username": "student", "password": running.password("student"), "_xsrf": session.cookies["_xsrf"]}
    answer = session.post(running.address + "hub/login?next=%2Fhub%2Ftoken", data=form, timeout=10)
    assert answer.ok
    assert answer.url.endswith("/hub/token")


@pytest.mark.parametrize(("name", "password"), [("student", "wrong"), ("nobody", "wrong"), ("student", "")])
def test_wrong_password_is_refused(running: Installation, name: str, password: str):
    session = requests.Session()
    session.get(running.address + "hub/login", timeout=5)
    form = {"username": name, "password": password, "_xsrf": session.cookies["_xsrf"]}
    assert session.post(running.address + "hub/login", data=form, timeout=10).status_code == 403


def test_second_run_says_who_has_it_and_changes_nothing(running: Installation):
    before = running.pids()
    second = aiplatform(*running.command()[1:])
    assert second.returncode == 1
    assert str(running.supervisor.pid) in second.stderr
    assert running.address in second.stderr
    assert "Traceback" not in second.stderr
    assert running.pids() == before


def test_secrets_are_the_owners_alone(running: Installation):
    for folder in ("secrets", "run", "logs", "spool"):
        assert stat.S_IMODE((running.data_dir / folder).stat().st_mode) == 0o700, folder
    for file in (running.data_dir / "secrets").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for file in [*(running.data_dir / "logs").glob("*.log"), *running.data_dir.glob("*.sqlite*")]:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_no_secret_is_in_generated_files_or_on_command_lines(running: Installation):
    texts = [file.read_bytes() for file in (running.data_dir / "run").iterdir() if file.is_file()]
    texts += [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in running.pids().values()]
    for file in (running.data_dir / "secrets").iterdir():
        secret = file.read_bytes().strip()
        assert not any(secret in text for text in texts), file


@pytest.mark.parametrize("names", [("proxy",), ("hub",), ("platform",), ("keeper",), ("hub", "proxy")], ids="+".join)
def test_killed_program_comes_back_and_the_others_are_left_alone(running: Installation, names: tuple[str, ...]):
    until(running.is_whole, 30, "the installation is whole before")
    before = running.pids()
    for name in names:
        os.kill(before[name], signal.SIGKILL)
    for name in names:
        until(lambda name=name: running.pid(name) not in {None, before[name]}, 40, f"{name} runs again")
    until(running.is_whole, 30, "pages answer again")
    after = running.pids()
    assert {name: pid for name, pid in after.items() if name not in names} == {name: pid for name, pid in before.items() if name not in names}


def test_supervisor_killed_then_started_adopts_what_runs(running: Installation):
    until(lambda: all(running.pids().values()) and running.is_whole(), 30, "the installation is whole before")
    before = running.pids()
    running.end(signal.SIGKILL)
    time.sleep(0.5)
    assert running.is_whole()
    said = running.start()
    assert "Left running as it was: proxy, hub, platform, keeper" in said
    assert running.pids() == before
    os.kill(before["keeper"], signal.SIGKILL)
    until(lambda: running.pid("keeper") not in {None, before["keeper"]}, 40, "an adopted program that dies is started again")


def test_session_outlives_sigterm_and_the_next_run_takes_it_up(running: Installation):
    until(running.is_whole, 30, "the installation is whole before")
    headers = {"Authorization": f"token {running.token('student')}"}
    server = running.address + "hub/api/users/student/servers/lab"
    assert requests.post(server, json={"user_options": SESSION}, headers=headers, timeout=30).status_code in {201, 202}
    url = running.address + "user/student/lab/api/status"
    until(lambda: requests.get(url, headers=headers, timeout=5).status_code == 200, 60, "the server answers")
    started = requests.get(url, headers=headers, timeout=5).json()["started"]
    said = running.end()
    assert "1 session runs on" in said
    assert "aiplatform stop-sessions" in said
    assert not any(running.pids().values())
    running.start()
    until(lambda: requests.get(url, headers=headers, timeout=5).status_code == 200, 30, "the server answers again")
    assert requests.get(url, headers=headers, timeout=5).json()["started"] == started
    assert requests.delete(server, headers=headers, timeout=30).status_code in {202, 204}


def test_passwords_are_shown_once_and_can_be_made_anew(running: Installation):
    running.end()
    assert "passwords of the first start" in running.start()
    running.end()
    running.start("--new-passwords")
    assert len(running.password("student")) >= 12


def test_a_storm_of_signals_stops_it_all_the_same():
    installation = Installation()
    try:
        installation.start()
        for _ in range(200):
            installation.supervisor.send_signal(signal.SIGTERM)
            installation.supervisor.send_signal(signal.SIGINT)
            time.sleep(0.001)
        installation.supervisor.wait(40)
        assert not any(installation.pids().values())
    finally:
        installation.remove()
