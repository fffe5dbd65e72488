"""The whole platform on a cluster: hub, proxy, platform and keeper as processes of this machine, people's servers as pods.

The programs run beside the cluster, so that a test can kill each of them at any step; their
rights are those of the service accounts that the manifests ship.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from aiplatform_hub.config import Place, QueueBackend, Settings, arguments_of
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.pods import ALLOCATION_LABEL
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from tests.support.hub import ADMIN, PASSWORD, RealHub, wait_for

NODE_ADDRESS = "10.244.0.1"
"""Where pods of the test cluster reach programs of this machine."""

TRIVIAL_IMAGE = "localhost/aiplatform-trivial:test"
TRIVIAL_COMMAND = ["/usr/bin/python3", "/opt/trivial_server.py"]
PROGRAMS = ("proxy", "hub", "platform", "keeper")


@dataclass
class ClusterStack(RealHub):
    """One installation on a cluster."""

    kubeconfigs: Mapping[str, Path] = field(default_factory=dict)
    """By program: with whose rights hub and keeper speak to the cluster."""
    admin_kubeconfig: Path = Path()
    namespace: str = "default"
    database_url: str = ""
    node_lost_seconds: int = 8
    queue_backend: QueueBackend = QueueBackend.BUILT_IN
    people: tuple[str, ...] = ()
    is_namespace_per_user: bool = False
    tiers: Mapping[str, Any] = field(default_factory=dict)
    node_pools: Mapping[str, Any] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.tokens |= {name: f"{index:032x}" for index, name in enumerate(self.people, 1)}

    @property
    def settings(self) -> Settings:
        return Settings(
            data_dir=self.folder / "data",
            catalog_dirs=(self.folder / "catalog",),
            database_url=self.database_url,
            hub_api_url=self.hub_api_url,
            platform_port=self.platform_port,
            keeper_port=self.keeper_port,
            place=Place.CLUSTER,
            namespace=self.namespace,
            node_lost_seconds=self.node_lost_seconds,
            is_namespace_per_user=self.is_namespace_per_user,
            queue_backend=self.queue_backend,
        )

    @property
    def hub_api_url(self) -> str:
        return f"http://{NODE_ADDRESS}:{self.hub_port}/hub/api"

    @cached_property
    def factory(self) -> Factory:
        return Factory(self.settings)

    # Life

    def prepare(self) -> None:
        for folder in (self.settings.data_dir, self.settings.run_dir, self.folder / "catalog"):
            folder.mkdir(parents=True, exist_ok=True)
        self._write_catalog()
        (self.folder / "jupyterhub_config.py").write_text(self._config())
        upgrade(self.settings.resolved_database_url)

    def _write_catalog(self) -> None:
        common = {
            "gpus": {"min": 0, "max": 4, "default": 0},
            "memory_gib": {"min": 1, "max": 16, "default": 1},
            "cpu_cores": {"min": 1, "max": 4, "default": 1},
            "container_image": TRIVIAL_IMAGE,
        }
        templates: dict[str, Any] = {
            name: {"display_name": name.title(), "description": f"The {name} server", "command": [*TRIVIAL_COMMAND, *arguments], **common}
            for name, arguments in (("trivial", []), ("failing", ["--fail"]), ("slow", ["--slow"]))
        }
        templates["no-image"] = templates["trivial"] | {"display_name": "No image", "container_image": "localhost/there-is-no-such-image:test"}
        templates |= {name: dict(values) for name, values in self.templates.items()}
        (self.folder / "catalog" / "environment_templates.yaml").write_text(json.dumps(templates, indent=1))
        limits = [{"dimension": "gpus", "amount": 4}, {"dimension": "environments", "amount": 20}]
        tiers = self.tiers or {"default": {"display_name": "Default", "priority": 10, "limits": limits}}
        (self.folder / "catalog" / "tiers.yaml").write_text(json.dumps(tiers))
        (self.folder / "catalog" / "node_pools.yaml").write_text(json.dumps(dict(self.node_pools)))

    def _config(self) -> str:
        base = textwrap.dedent(
            f"""
            from pathlib import Path
            from aiplatform_hub.config import Place, QueueBackend, Secrets, Settings
            from aiplatform_hub.install import install

            c = get_config()
            c.JupyterHub.authenticator_class = "dummy"
            c.DummyAuthenticator.password = {PASSWORD!r}
            c.Authenticator.allowed_users = {set(self.tokens)!r}
            c.Authenticator.admin_users = {{{ADMIN!r}}}
            c.Authenticator.delete_invalid_users = False
            c.JupyterHub.bind_url = {self.url!r}
            c.JupyterHub.hub_ip = "0.0.0.0"
            c.JupyterHub.hub_connect_ip = {NODE_ADDRESS!r}
            c.JupyterHub.hub_port = {self.hub_port}
            c.JupyterHub.db_url = "sqlite:///{self.folder}/jupyterhub.sqlite"
            c.JupyterHub.cookie_secret_file = "{self.folder}/cookie_secret"
            c.JupyterHub.load_groups = { ({name: {"users": list(users)} for name, users in self.groups.items()})!r}
            c.JupyterHub.api_tokens = { ({token: name for name, token in self.tokens.items()})!r}
            c.JupyterHub.init_spawners_timeout = 1
            c.JupyterHub.concurrent_spawn_limit = 0
            c.JupyterHub.last_activity_interval = 20
            c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{self.proxy_port}"
            c.KubeSpawner.image_pull_policy = "Never"
            c.KubeSpawner.storage_pvc_ensure = False
            c.KubeSpawner.start_timeout = 60
            c.AIPlatform.platform_url = "http://127.0.0.1:{self.platform_port}"
            """
        )
        installing = textwrap.dedent(
            f"""
            install(
                c,
                {self._settings_source()},
                Secrets(
                    platform_token={self.service_token + "p"!r},
                    keeper_token={self.service_token + "k"!r},
                    supervisor_token={self.service_token + "s"!r},
                    proxy_token={self.proxy_token!r},
                ),
            )
            """
        )
        return base + textwrap.dedent(self.extra_config) + installing

    def _settings_source(self) -> str:
        return repr(self.settings).replace("PosixPath(", "Path(").replace(f"{Place.CLUSTER!r}", "Place.CLUSTER")

    def start(self) -> None:
        """Start all four programs and return once they answer."""
        self.start_proxy()
        self.start_program("keeper")
        wait_for(self.has_capacity, f"the keeper has registered the cluster's GPUs; its log is {self.folder}/keeper.log", 40)
        self.start_program("platform")
        self.start_hub()

    def has_capacity(self) -> bool:
        assert self.processes["keeper"].poll() is None, self.log("keeper")
        return sum(row.total for row in self.factory.enforcer.capacity()) > 0

    def start_program(self, name: str) -> None:
        """Start the platform or the keeper."""
        self.processes[name] = self._start(name, [sys.executable, "-m", f"aiplatform_hub.services.{name}", *arguments_of(self.settings)])

    def _start(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        scopes = json.dumps([f"access:services!service={name}"])
        prefix = f"/services/{name}/"
        port = {"platform": self.platform_port, "keeper": self.keeper_port}.get(name, 0)
        service = {
            "JUPYTERHUB_API_TOKEN": self.service_token + name[0],
            "JUPYTERHUB_API_URL": self.hub_api_url,
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_SERVICE_NAME": name,
            "JUPYTERHUB_SERVICE_PREFIX": prefix,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
            "JUPYTERHUB_CLIENT_ID": f"service-{name}",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": scopes,
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        }
        kubeconfig = self.kubeconfigs.get(name, self.admin_kubeconfig)
        os.environ["KUBECONFIG"] = str(kubeconfig)
        try:
            os.environ.update(service if port else {})
            return super()._start(name, command)
        finally:
            for key in (*service, "KUBECONFIG"):
                os.environ.pop(key, None)

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Kill a program and wait for its end."""
        process = {"hub": self.hub, "proxy": self.proxy}.get(name) or self.processes[name]
        process.send_signal(number)
        process.wait(30)

    def bring_back(self, name: str) -> None:
        """Start a program again, as its Deployment would."""
        if name == "hub":
            self.start_hub()
        elif name == "proxy":
            self.start_proxy()
        else:
            self.start_program(name)

    def close(self) -> None:
        for name, process in [*self.processes.items(), ("hub", self.hub), ("proxy", self.proxy)]:
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL if name == "proxy" else signal.SIGTERM)
        for process in [*self.processes.values(), self.hub, self.proxy]:
            if process is not None:
                _wait(process)
        self.remove_pods()
        self.factory.close()

    # The cluster, looked at directly

    def kubectl(self, *arguments: str, is_checked: bool = True, seconds: float = 30, stdin: str | None = None) -> str:
        """Run kubectl as the cluster's admin; return what it printed."""
        command = ["kubectl", "--kubeconfig", str(self.admin_kubeconfig), "--request-timeout=10s", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, input=stdin, check=False)
        assert not is_checked or done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def pods(self) -> dict[UUID, dict[str, Any]]:
        """Return the sessions' pods by allocation."""
        found = json.loads(self.kubectl("get", "pods", "-n", self.namespace, "-l", ALLOCATION_LABEL, "-o", "json"))["items"]
        return {UUID(pod["metadata"]["labels"][ALLOCATION_LABEL]): pod for pod in found}

    def running(self) -> frozenset[UUID]:
        """Return the allocations whose container runs, by the cluster's word."""
        return frozenset(id_ for id_, pod in self.pods().items() if "deletionTimestamp" not in pod["metadata"] and is_running(pod))

    def remove_pods(self) -> None:
        """Delete every pod of the namespace, also those that wait for a keeper."""
        names = self.kubectl("get", "pods", "-n", self.namespace, "-o", "name", is_checked=False).split()
        for name in names:
            self.kubectl("patch", name, "-n", self.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}', is_checked=False)
        if names:
            self.kubectl("delete", *names, "-n", self.namespace, "--force", "--grace-period=0", "--wait=false", is_checked=False)

    # Looking

    def find(self, allocation_id: UUID) -> Allocation:
        return self.allocation(allocation_id)

    def launch(self, user: str, gpus: int = 1, template: str = "trivial", name: str = "") -> Allocation:
        """Start a server and wait until the meter knows that it is ready."""
        options = {"environment_template": template, "gpus": gpus}
        answers: list[str] = []

        def is_started() -> bool:
            answer = self.start_server(user, name, options)
            answers.append(f"{answer.status_code} {answer.text}")
            return answer.status_code in {201, 202}

        wait_for(is_started, lambda: f"the hub starts a server for {user}: {answers[-1]}\n{self.log()}\n{self.log('keeper')}", 60, 0.5)

        def ready() -> Allocation | None:
            return next((a for a in self.open_allocations() if (a.user_name, a.server_name) == (user, name) and a.ready_at), None)

        found: Allocation = wait_for(ready, lambda: f"the server of {user} is ready\n{self.log()}\n{self.log('keeper')}", 60)
        return found

    def is_up(self) -> bool:
        """Whether the hub and the platform service answer through the proxy."""
        try:
            addresses = (f"{self.url}/hub/api/", f"{self.url}/services/platform/api/v1/openapi.json")
            return all(requests.get(address, timeout=5).status_code == 200 for address in addresses)
        except requests.RequestException:
            return False

    def answers(self, user: str, name: str = "") -> bool:
        """Whether the user's server answers through the proxy."""
        try:
            answer = requests.get(f"{self.url}/user/{user}/{name}", headers={"Authorization": f"token {self.tokens[user]}"}, timeout=5)
        except requests.RequestException:
            return False
        return answer.status_code == 200 and "pid" in answer.text

    def intervals(self) -> dict[UUID, list[Any]]:
        """Return the closed usage intervals by allocation."""
        found: dict[UUID, list[Any]] = {}
        with self.factory.database.read() as connection:
            for interval in self.factory.usage_store.chained(connection):
                found.setdefault(interval.allocation_id, []).append(interval)
        return found


def is_running(pod: Mapping[str, Any]) -> bool:
    """Whether the session's container runs, by the kubelet's word."""
    return any(status["name"] == "notebook" and "running" in status["state"] for status in pod["status"].get("containerStatuses", []))


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
