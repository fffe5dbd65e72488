"""The whole platform under ``aiplatform run --demo``: supervisor, proxy, hub, platform and keeper, with tiny servers."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from aiplatform_hub.clients.identity import Identity, all_pids, identify, is_alive, send_signal
from aiplatform_hub.clients.processes import allocation_of, stop_session
from aiplatform_hub.clients.spool import SessionRecord
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.factory import Factory
from aiplatform_hub.hub.demo_auth import hash_password
from aiplatform_hub.supervisor.hub_config import demo_passwords_file
from tests.support.hub import REPOSITORY, free_port, wait_for

PROGRAMS = ("proxy", "hub", "platform", "keeper", "culler")


class Stack:
    """One data folder and what ``aiplatform run`` keeps running on it."""

    def __init__(self, gpus: int = 4) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="aiplatform-stack-"))
        self.folder.chmod(0o711)
        self.port = free_port()
        self.gpus = gpus
        self.settings = Settings(data_dir=self.folder / "data", simulated_gpus=gpus, is_demo=True)
        self.tokens: dict[str, str] = {}
        self.supervisor: subprocess.Popen[bytes] | None = None
        self._write_catalog()

    @cached_property
    def factory(self) -> Factory:
        return Factory(self.settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _write_catalog(self) -> None:
        server = self.folder / "trivial_server.py"
        shutil.copyfile(Path(__file__).with_name("trivial_server.py"), server)
        server.chmod(0o644)
        interpreter = "/usr/bin/python3" if os.geteuid() == 0 else sys.executable
        common = {"gpus": {"min": 0, "max": 4, "default": 0}, "memory_gib": {"min": 1, "max": 1, "default": 1}, "cpu_cores": {"min": 1, "max": 1, "default": 1}}
        templates = {
            name: {"display_name": name, "description": "A tiny server", "command": [interpreter, str(server), *arguments], **common}
            for name, arguments in (("trivial", []), ("slow", ["--slow"]))
        }
        (self.folder / "catalog").mkdir()
        (self.folder / "catalog" / "environment_templates.yaml").write_text(json.dumps(templates))
        limits = [{"dimension": "gpus", "amount": 4}, {"dimension": "environments", "amount": 20}]
        tiers = {"default": {"display_name": "Default", "priority": 10, "limits": limits}}
        (self.folder / "catalog" / "tiers.yaml").write_text(json.dumps(tiers))

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from aiplatform_hub.cli import main; main()", *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    def start(self) -> None:
        """Run ``aiplatform run`` and return once everything answers."""
        arguments = ("run", "--demo", "--data-dir", str(self.settings.data_dir), "--port", str(self.port), "--simulated-gpus", str(self.gpus))
        with (self.folder / "run.log").open("ab") as log:
            at = log.tell()
            command = self._command(*arguments, "--catalog-dir", str(self.folder / "catalog"))
            self.supervisor = subprocess.Popen(command, cwd=self.folder, env=self._environment(), stdout=log, stderr=log)
        wait_for(lambda: self._has_said("Ready:", at), f"it is ready: {self.log()}", 90)

    def _has_said(self, words: str, at: int) -> bool:
        assert self.supervisor is not None
        assert self.supervisor.poll() is None, self.log()
        return words in (self.folder / "run.log").read_text()[at:]

    def log(self) -> str:
        return (self.folder / "run.log").read_text()[-3000:]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End ``aiplatform run``; by SIGTERM what it started ends too, by SIGKILL it goes on."""
        if self.supervisor is not None:
            self.supervisor.send_signal(number)
            self.supervisor.wait(40)

    def program(self, name: str) -> Identity | None:
        """Return the living process of a program."""
        try:
            note = json.loads((self.settings.run_dir / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        found = Identity(int(note["pid"]), int(note["start_ticks"]))
        return found if is_alive(found) else None

    def let_in(self, *users: str) -> dict[str, str]:
        """Let more people log in beside those of the trial; return their passwords."""
        passwords = {user: secrets.token_hex(6) for user in users}
        file = demo_passwords_file(self.settings)
        wait_for(file.exists, "the trial's people have passwords")
        file.write_text(json.dumps({**json.loads(file.read_text()), **{user: hash_password(word) for user, word in passwords.items()}}))
        return passwords

    def token(self, user: str) -> str:
        if user not in self.tokens:
            command = self._command("token", user, "--create", "--data-dir", str(self.settings.data_dir))
            done = subprocess.run(command, cwd=self.folder, env=self._environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            self.tokens[user] = done.stdout.split()[-1]
        return self.tokens[user]

    def api(self, method: str, path: str, user: str, **kwargs: Any) -> requests.Response:
        """Call the hub's REST API through the proxy."""
        headers = {"Authorization": f"token {self.token(user)}"}
        return requests.request(method, f"{self.url}/hub/api/{path}", headers=headers, timeout=30, **kwargs)

    def ask_start(self, user: str, gpus: int = 1, template: str = "trivial") -> requests.Response:
        options = {"user_options": {"environment_template": template, "gpus": gpus}}
        return self.api("POST", f"users/{user}/server", user, json=options)

    def launch(self, user: str, gpus: int = 1) -> Allocation:
        """Start a server and wait until the meter knows that it is ready."""
        # Just after a crash the hub may still think that the old one runs, or not be back yet.
        wait_for(lambda: self.ask_start(user, gpus).status_code in {201, 202}, f"the hub starts a server for {user}", interval=0.5)
        return wait_for(lambda: next((a for a in self.open() if a.user_name == user and a.ready_at), None), f"the server of {user} is ready")

    def is_up(self) -> bool:
        """Whether the hub and the platform service answer through the proxy."""
        try:
            addresses = (f"{self.url}/hub/api/", f"{self.url}/services/platform/api/v1/openapi.json")
            return all(requests.get(address, timeout=5).status_code == 200 for address in addresses)
        except requests.RequestException:
            return False

    def answers(self, user: str) -> bool:
        """Whether the user's server answers through the proxy, with its own user's token."""
        try:
            answer = requests.get(f"{self.url}/user/{user}/api", headers={"Authorization": f"token {self.token(user)}"}, timeout=5)
        except requests.RequestException:
            return False
        return answer.status_code == 200 and "pid" in answer.text

    # Looking

    def open(self) -> tuple[Allocation, ...]:
        with self.factory.database.read() as connection:
            return self.factory.allocations.open(connection)

    def find(self, allocation_id: UUID) -> Allocation:
        with self.factory.database.read() as connection:
            found = self.factory.allocations.find(connection, allocation_id)
        assert found is not None
        return found

    def leases(self) -> dict[str, UUID]:
        with self.factory.database.read() as connection:
            return self.factory.allocations.leased(connection)

    def record(self, allocation: Allocation) -> SessionRecord:
        record = self.factory.spool.read(allocation.id)
        assert record is not None
        return record

    def running(self) -> frozenset[UUID]:
        """Return the allocations of which a process runs, by looking at every process of the machine."""
        mine = set(self.factory.spool.allocation_ids())
        found = ((pid, allocation_of(pid)) for pid in all_pids())
        return frozenset(id_ for pid, id_ in found if id_ in mine and (identity := identify(pid)) and is_alive(identity))

    def close(self) -> None:
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.stop()
        for name in PROGRAMS:
            found = self.program(name)
            if found:
                send_signal(found, signal.SIGKILL)
        time.sleep(0.1)
        for id_ in self.factory.spool.allocation_ids():
            stop_session(self.factory.spool, id_, 0.2)
        self.factory.close()
        if not os.environ.get("AIPLATFORM_KEEP_TEST_FOLDERS"):
            shutil.rmtree(self.folder, ignore_errors=True)
