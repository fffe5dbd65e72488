"""A platform service beside a real hub, as its clients see it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace

import requests

from aiplatform_hub.config import Settings, arguments_of
from tests.support.hub import ADMIN, REPOSITORY, RealHub, free_port, wait_for

MONITOR_TOKEN = secrets.token_hex(16)
"""Of a service that may read everything."""
STRANGER_TOKEN = secrets.token_hex(16)
"""Of a service without rights."""
PUSH_ORIGIN = f"http://127.0.0.1:{free_port()}"
"""The push service that the place writes to; a test that wants one starts it there."""
PUSH_SECRET = {"AIPLATFORM_NOTIFIER_WEBPUSH_SECRET": base64.b64encode(secrets.token_bytes(32)).decode()}
"""What both services are told in a cluster; on a machine they share a file."""
PREFIX = "/services/platform/"
API = f"{PREFIX}api/v1/"

SERVICES = [{"name": "monitor", "api_token": MONITOR_TOKEN}, {"name": "stranger", "api_token": STRANGER_TOKEN}]
ROLES = [{"name": "monitor", "scopes": ["read:servers", "read:metrics", "list:users"], "services": ["monitor"]}]
EXTRA_CONFIG = f"c.JupyterHub.services = {SERVICES!r}; c.JupyterHub.load_roles = {ROLES!r}; c.AIPlatform.billing_viewer_groups = ['finance']"
"""One line, because it is laid into an indented text."""


@dataclass
class Place:
    """The platform as a client sees it."""

    hub: RealHub
    process: subprocess.Popen[bytes] | None = None
    keeper: subprocess.Popen[bytes] | None = None
    made_tokens: dict[tuple[str, tuple[str, ...]], str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.hub.url}{API}"

    @property
    def settings(self) -> Settings:
        """What platform and keeper go by: the hub's, and browsers are told."""
        options = {"webpush": {"contact": "mailto:admin@example.org", "services": [PUSH_ORIGIN]}}
        return replace(self.hub.settings, notifiers=json.dumps(options))

    @property
    def secrets(self) -> dict[str, str]:
        """What platform and keeper find in their environment besides."""
        return PUSH_SECRET if self.settings.place.value == "cluster" else {}

    def start(self, *, requests_per_minute: int = 100_000, is_demo: bool = True) -> None:
        prefix, scope = PREFIX, json.dumps(["access:services!service=platform"])
        environment = {
            **os.environ,
            **self.secrets,
            "PYTHONPATH": str(REPOSITORY),
            "JUPYTERHUB_API_TOKEN": f"{self.hub.service_token}p",
            "JUPYTERHUB_API_URL": self.hub.hub_api_url,
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_SERVICE_NAME": "platform",
            "JUPYTERHUB_SERVICE_PREFIX": prefix,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{self.hub.platform_port}",
            "JUPYTERHUB_CLIENT_ID": "service-platform",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scope,
        }
        command = [
            sys.executable,
            "-m",
            "aiplatform_hub.services.platform",
            *arguments_of(replace(self.settings, is_demo=is_demo)),
            "--requests-per-minute",
            str(requests_per_minute),
        ]
        with (self.hub.folder / "platform.log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.hub.folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        wait_for(self._is_up, f"the platform answers; its log is {self.hub.folder}/platform.log")

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.hub.log("platform")
        try:
            return requests.get(f"{self.url}openapi.json", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def start_keeper(self) -> None:
        """Have the queue dispatched, until :meth:`stop_keeper`."""
        environment = {**os.environ, **self.secrets, "PYTHONPATH": str(REPOSITORY), "JUPYTERHUB_API_TOKEN": f"{self.hub.service_token}k"}
        command = [sys.executable, "-m", "aiplatform_hub.services.keeper", *arguments_of(self.settings)]
        with (self.hub.folder / "keeper.log").open("ab") as log:
            self.keeper = subprocess.Popen(command, cwd=self.hub.folder, env=environment, stdout=log, stderr=log, start_new_session=True)

    def stop_keeper(self) -> None:
        assert self.keeper is not None
        self.keeper.send_signal(signal.SIGTERM)
        self.keeper.wait(20)
        self.keeper = None

    def token(self, user: str, *scopes: str) -> str:
        """Return a token of a person with just these scopes, or with all that they have."""
        key = (user, scopes)
        if key not in self.made_tokens:
            answer = self.hub.api("POST", f"users/{user}/tokens", user=ADMIN, json={"scopes": list(scopes)} if scopes else {})
            answer.raise_for_status()
            self.made_tokens[key] = answer.json()["token"]
        return self.made_tokens[key]

    def call(self, method: str, path: str, *, user: str | None = None, token: str | None = None, **kwargs):
        """Call the REST API with a person's token, another token, or none."""
        headers = dict(kwargs.pop("headers", {}))
        if user is not None:
            token = self.hub.tokens[user]
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        return requests.request(method, self.url + path, headers=headers, timeout=30, **kwargs)

    def typed(self, *words: str, user: str | None = "user1", **environment: str) -> tuple[list[str], dict[str, str]]:
        """Return a command as typed by a person, with its environment."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AIPLATFORM_")}
        variables |= {"AIPLATFORM_URL": self.hub.url, "PYTHONPATH": str(REPOSITORY), "TZ": "Asia/Tokyo", "PYTHONUNBUFFERED": "1", **environment}
        if user is not None:
            variables["AIPLATFORM_TOKEN"] = self.hub.tokens[user]
        return [sys.executable, "-c", "from aiplatform_hub.cli import main; main(prog_name='aiplatform')", *words], variables

    def launch(self, user: str, name: str | None = None, **body):
        body = {"environment_template": "trivial", **({"server_name": name} if name else {}), **body}
        return self.call("POST", "allocations", user=user, json=body)

    def wait_state(self, user: str, allocation_id: str, *states: str, seconds: float = 60) -> dict:
        return wait_for(
            lambda: (a := self.call("GET", f"allocations/{allocation_id}", user=user).json())["state"] in states and a, f"{allocation_id} is {states}", seconds
        )

    def wait_ready(self, user: str, allocation_id: str) -> dict:
        """Wait until a session answers: the hub stops none whose start is pending, though its program runs already."""
        return wait_for(lambda: (a := self.call("GET", f"allocations/{allocation_id}", user=user).json())["ready_at"] and a, f"{allocation_id} is ready", 60)

    def audit(self) -> list:
        return list(self.hub.factory.audit_trail.latest(limit=50))

    def queued(self) -> tuple:
        with self.hub.factory.database.read() as connection:
            return self.hub.factory.allocations.queued(connection)

    def stop_everything(self) -> None:
        """Withdraw what waits, then stop what runs: nothing takes the place of what has ended."""
        for allocation in (*self.queued(), *self.hub.open_allocations()):
            self.call("DELETE", f"allocations/{allocation.id}", user=ADMIN)
        wait_for(self._is_quiet, "every session ended", 30)

    def _is_quiet(self) -> bool:
        if not self.hub.open_allocations():
            return True
        for allocation in self.hub.open_allocations():
            if allocation.stop_requested_by is None:  # its start was under way
                self.call("DELETE", f"allocations/{allocation.id}", user=ADMIN)
        return False
