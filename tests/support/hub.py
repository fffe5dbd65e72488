"""A real hub behind a real proxy, in a data folder and on ports of its own, for tests.

The proxy is a process of its own, as under ``aiplatform run``, so that a hub can be killed
and started again while servers and routes go on. Servers are tiny programs unless a test
asks for JupyterLab.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import requests

import aiplatform_hub
from aiplatform_hub.clients.gpus import discover, machine_capacity
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.supervisor.proxy_program import proxy_command

USERS = tuple(f"user{number}" for number in range(10))
"""People without rights beyond their own, in the default tier."""
ADMIN = "admin"
REPOSITORY = Path(aiplatform_hub.__file__).parents[1]
PASSWORD = "trial-password"
START_SECONDS = 60
LOGIN_SECONDS = 60
"""Dozens who log in at once wait for each other: a password is checked with many rounds of a hash."""

TRIVIAL = "trivial"
FAILING = "failing"
SLOW = "slow"


def free_port() -> int:
    """Return a port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], Any], what: str | Callable[[], str], seconds: float = 30, interval: float = 0.1) -> Any:
    """Return the first true answer of the condition; what was waited for may be put together when it did not come."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < until, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(interval)


@dataclass
class RealHub:
    """One hub, its proxy and its data folder."""

    folder: Path
    gpus: int = 4
    extra_config: str = ""
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    hub_port: int = field(default_factory=free_port)
    proxy_port: int = field(default_factory=free_port)
    platform_port: int = field(default_factory=free_port)
    keeper_port: int = field(default_factory=free_port)
    hub: subprocess.Popen[bytes] | None = None
    proxy: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.tokens = {name: secrets.token_hex(16) for name in (*USERS, ADMIN)}
        self.proxy_token = secrets.token_hex(16)
        self.service_token = secrets.token_hex(16)

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=self.folder / "data",
            catalog_dirs=(self.folder / "catalog",),
            simulated_gpus=self.gpus,
            is_demo=True,
            hub_api_url=self.hub_api_url,
            platform_port=self.platform_port,
            keeper_port=self.keeper_port,
        )

    @property
    def url(self) -> str:
        """The public address, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def hub_api_url(self) -> str:
        """The hub's API, not through the proxy."""
        return f"http://127.0.0.1:{self.hub_port}/hub/api"

    @cached_property
    def factory(self) -> Factory:
        """The rows, as a process beside the hub sees them."""
        return Factory(self.settings)

    # Life

    def prepare(self) -> None:
        """Make folder, catalogue, database and configuration."""
        data = self.settings.data_dir
        for folder in (data, self.settings.homes_dir, self.settings.spool_dir, self.folder / "catalog"):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, data, self.settings.homes_dir):
            folder.chmod(0o711)
        self._write_catalog()
        (self.folder / "jupyterhub_config.py").write_text(self._config())
        upgrade(self.settings.resolved_database_url)
        memory, cores = machine_capacity()
        self.factory.enforcer.register_devices(discover(self.gpus, self.factory.catalog.gpu_types), max(memory, 512 * 1024**3), max(cores, 256))

    def _write_catalog(self) -> None:
        server = self.folder / "trivial_server.py"
        shutil.copyfile(Path(__file__).with_name("trivial_server.py"), server)
        server.chmod(0o644)
        interpreter = "/usr/bin/python3" if os.geteuid() == 0 and os.access("/usr/bin/python3", os.X_OK) else sys.executable
        common = {
            "gpus": {"min": 0, "max": 4, "default": 0},
            "memory_gib": {"min": 1, "max": 16, "default": 1},
            "cpu_cores": {"min": 1, "max": 4, "default": 1},
        }
        templates = {
            name: {"display_name": name.title(), "description": f"The {name} server", "command": [interpreter, str(server), *arguments], **common}
            for name, arguments in ((TRIVIAL, []), (FAILING, ["--fail"]), (SLOW, ["--slow"]))
        }
        templates |= {name: dict(values) for name, values in self.templates.items()}
        entries = {
            "environment_templates": templates,
            "projects": {"vision": {"display_name": "Vision", "cost_centre": "vision"}},
            "cost_centres": {"vision": {"display_name": "Vision"}},
        }
        for name, values in entries.items():
            (self.folder / "catalog" / f"{name}.yaml").write_text(json.dumps(values, indent=1))

    def _config(self) -> str:
        base = textwrap.dedent(
            f"""
            from pathlib import Path
            from aiplatform_hub.config import Secrets, Settings
            from aiplatform_hub.install import install

            c = get_config()
            c.JupyterHub.authenticator_class = "dummy"
            c.DummyAuthenticator.password = {PASSWORD!r}
            c.Authenticator.allowed_users = {set(self.tokens)!r}
            c.Authenticator.admin_users = {{{ADMIN!r}}}
            c.Authenticator.delete_invalid_users = False
            c.JupyterHub.bind_url = {self.url!r}
            c.JupyterHub.hub_ip = "127.0.0.1"
            c.JupyterHub.hub_port = {self.hub_port}
            c.JupyterHub.db_url = "sqlite:///{self.folder}/jupyterhub.sqlite"
            c.JupyterHub.cookie_secret_file = "{self.folder}/cookie_secret"
            c.JupyterHub.load_groups = { ({name: {"users": list(users)} for name, users in self.groups.items()})!r}
            c.JupyterHub.api_tokens = { ({token: name for name, token in self.tokens.items()})!r}
            c.JupyterHub.init_spawners_timeout = 1
            c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{self.proxy_port}"
            """
        )
        return (
            base
            + textwrap.dedent(self.extra_config)
            + textwrap.dedent(
                f"""
            install(
                c,
                Settings(
                    data_dir=Path({str(self.settings.data_dir)!r}),
                    catalog_dirs=(Path({str(self.folder / "catalog")!r}),),
                    simulated_gpus={self.gpus},
                    is_demo=True,
                    hub_api_url={self.hub_api_url!r},
                    platform_port={self.platform_port},
                    keeper_port={self.keeper_port},
                ),
                Secrets(
                    platform_token={self.service_token + "p"!r},
                    keeper_token={self.service_token + "k"!r},
                    culler_token={self.service_token + "c"!r},
                    supervisor_token={self.service_token + "s"!r},
                    proxy_token={self.proxy_token!r},
                ),
            )
            """
            )
        )

    def start_proxy(self) -> None:
        self.proxy = self._start(
            "proxy", [*proxy_program(), "--ip", "127.0.0.1", "--port", str(self.port), "--api-ip", "127.0.0.1", "--api-port", str(self.proxy_port)]
        )

    def start_hub(self) -> None:
        """Start the hub and return once it answers through the proxy."""
        self.hub = self._start("hub", [sys.executable, "-m", "jupyterhub", "-f", str(self.folder / "jupyterhub_config.py")])
        wait_for(self._is_up, f"the hub answers; its log is {self.folder}/hub.log", START_SECONDS)

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "CONFIGPROXY_AUTH_TOKEN": self.proxy_token, "PYTHONPATH": str(REPOSITORY)}
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True)

    def _is_up(self) -> bool:
        assert self.hub is not None
        assert self.hub.poll() is None, f"the hub ended:\n{self.log()}"
        try:
            return requests.get(f"{self.url}/hub/api/", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def kill_hub(self, number: int = signal.SIGKILL) -> None:
        assert self.hub is not None
        self.hub.send_signal(number)
        self.hub.wait(30)

    def restart_hub(self, number: int = signal.SIGKILL) -> None:
        self.kill_hub(number)
        self.start_hub()

    def close(self) -> None:
        """End hub, sessions and proxy."""
        from aiplatform_hub.clients.processes import stop_session

        if self.hub is not None and self.hub.poll() is None:
            self.kill_hub(signal.SIGTERM)
        for allocation_id in self.factory.spool.allocation_ids():
            stop_session(self.factory.spool, allocation_id, 0.2)
        if self.proxy is not None:
            self.proxy.kill()
            self.proxy.wait(10)
        self.factory.close()

    def log(self, name: str = "hub", lines: int = 60) -> str:
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    # Doors

    def api(self, method: str, path: str, user: str = ADMIN, **kwargs: Any) -> requests.Response:
        """Call the hub's REST API as a person."""
        headers = {"Authorization": f"token {self.tokens[user]}", **kwargs.pop("headers", {})}
        return requests.request(method, f"{self.url}/hub/api/{path}", headers=headers, timeout=kwargs.pop("timeout", 60), **kwargs)

    def start_server(self, user: str, name: str = "", options: Mapping[str, Any] | None = None, *, by: str | None = None) -> requests.Response:
        """Ask the hub's REST API for a server: with these options, or with the stored ones."""
        path = f"users/{user}/servers/{name}" if name else f"users/{user}/server"
        return self.api("POST", path, user=by or user, **({} if options is None else {"json": {"user_options": dict(options)}}))

    def stop_server(self, user: str, name: str = "") -> requests.Response:
        return self.api("DELETE", f"users/{user}/servers/{name}" if name else f"users/{user}/server", user=user)

    def server(self, user: str, name: str = "") -> dict[str, Any] | None:
        """Return what the hub says of a running server, or None."""
        answer = self.api("GET", f"users/{user}")
        answer.raise_for_status()
        found: dict[str, Any] | None = answer.json()["servers"].get(name)
        return found

    def wait_ready(self, user: str, name: str = "", seconds: float = 30) -> dict[str, Any]:
        found: dict[str, Any] = wait_for(lambda: (s := self.server(user, name)) and s["ready"] and s, f"{user}/{name} is ready", seconds)
        return found

    def browser(self, user: str) -> Browser:
        """Return a logged-in browser session."""
        return Browser(self, user)

    def ask(self, user: str, name: str = "") -> dict[str, Any]:
        """Return what a trivial server says of itself, asked directly."""
        allocation = next(a for a in self.open_allocations() if a.user_name == user and a.server_name == name)
        meta = self.factory.spool.meta(allocation.id)
        assert meta is not None
        answer: dict[str, Any] = requests.get(f"http://127.0.0.1:{meta.port}/", timeout=5).json()
        return answer

    # Rows

    def open_allocations(self) -> tuple[Allocation, ...]:
        with self.factory.database.read() as connection:
            return self.factory.allocations.open(connection)

    def allocation(self, allocation_id: Any) -> Allocation:
        with self.factory.database.read() as connection:
            found = self.factory.allocations.find(connection, allocation_id)
        assert found is not None
        return found

    def allocations_of(self, user: str) -> list[Allocation]:
        """Return every allocation of a person, refused ones too, oldest first."""
        from sqlalchemy import select

        from aiplatform_hub.storage.allocations import allocation_of
        from aiplatform_hub.storage.schema import allocations

        with self.factory.database.read() as connection:
            rows = connection.execute(select(allocations).where(allocations.c.user_name == user).order_by(allocations.c.requested_at)).mappings()
            return [allocation_of(row) for row in rows]


class Browser:
    """Cookies and XSRF token of one logged-in person."""

    def __init__(self, hub: RealHub, user: str) -> None:
        self.hub = hub
        self.session = requests.Session()
        self.session.get(f"{hub.url}/hub/login", timeout=LOGIN_SECONDS)
        answer = self.session.post(
            f"{hub.url}/hub/login?next=/hub/admin",
            data={"username": user, "password": PASSWORD, "_xsrf": self.xsrf},
            allow_redirects=False,
            timeout=LOGIN_SECONDS,
        )
        assert answer.status_code == 302, answer.text

    @property
    def xsrf(self) -> str:
        return next((cookie.value or "" for cookie in self.session.cookies if cookie.name == "_xsrf"), "")

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.session.get(f"{self.hub.url}{path}", timeout=30, allow_redirects=False, **kwargs)

    def post(self, path: str, data: Mapping[str, Any]) -> requests.Response:
        return self.session.post(f"{self.hub.url}{path}", params={"_xsrf": self.xsrf}, data=dict(data), timeout=30, allow_redirects=False)


def proxy_program() -> tuple[str, ...]:
    try:
        return proxy_command()
    except ConfigurationError:
        found = shutil.which("configurable-http-proxy")
        if not found:
            raise
        return (found,)


AnyHub = TypeVar("AnyHub", bound=RealHub)


@contextmanager
def real_hub(make: type[AnyHub] = RealHub, **kwargs: Any) -> Iterator[AnyHub]:  # type: ignore[assignment]
    """Run a hub for the length of the block."""
    folder = Path(tempfile.mkdtemp(prefix="aiplatform-test-"))
    hub = make(folder, **kwargs)
    try:
        hub.prepare()
        hub.start_proxy()
        hub.start_hub()
        yield hub
    finally:
        hub.close()
        if not os.environ.get("AIPLATFORM_KEEP_TEST_FOLDERS"):
            shutil.rmtree(folder, ignore_errors=True)
