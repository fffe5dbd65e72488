"""The programs that ``aiplatform run`` keeps running: what to start, with which environment."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import aiplatform_hub
from aiplatform_hub.config import Settings, arguments_of
from aiplatform_hub.services.culler.command import culler_command
from aiplatform_hub.supervisor.data_directory import DataDirectory, Ports
from aiplatform_hub.supervisor.operator_config import OperatorConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program to keep running."""

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)
    """What it gets beside the supervisor's own environment."""
    log_file: Path
    configuration: str = ""
    """Text of the files that it reads; a change means that a running one is out of date."""
    ports: tuple[tuple[str, int], ...] = ()
    """Host and port of each address on which it listens."""

    @property
    def fingerprint(self) -> str:
        """Changes when a running one would have to be started anew."""
        parts = [aiplatform_hub.__version__, self.argv, sorted(self.environment.items()), self.configuration]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Everything that the programs' command lines are made of."""

    settings: Settings
    operator: OperatorConfig
    ports: Ports
    directory: DataDirectory
    hub_config_file: Path
    hub_config: str
    proxy: tuple[str, str]
    """Node and the proxy's script."""

    def programs(self) -> tuple[Program, ...]:
        """Return them in the order in which they start."""
        services = (self._service("platform", self.ports.platform), self._service("keeper", self.ports.keeper))
        return (self._proxy(), self._hub(), *services, self._culler())

    def _log(self, name: str) -> Path:
        return self.settings.logs_dir / f"{name}.log"

    def _proxy(self) -> Program:
        operator, ports = self.operator, self.ports
        hub = f"http://127.0.0.1:{ports.hub}"
        argv = [
            *self.proxy,
            *("--ip", operator.host, "--port", str(operator.port)),
            *("--api-ip", "127.0.0.1", "--api-port", str(ports.proxy_api)),
            *("--metrics-ip", "127.0.0.1", "--metrics-port", str(ports.proxy_metrics)),
            *("--default-target", hub, "--error-target", f"{hub}{operator.base_url}hub/error"),
        ]
        if operator.subdomain_host:
            argv.append("--host-routing")
        if operator.ssl_cert:
            argv += ["--ssl-key", operator.ssl_key, "--ssl-cert", operator.ssl_cert]
        return Program(
            name="proxy",
            argv=tuple(argv),
            environment={"CONFIGPROXY_AUTH_TOKEN": self.directory.secret("proxy")},
            log_file=self._log("proxy"),
            ports=((operator.host, operator.port), ("127.0.0.1", ports.proxy_api), ("127.0.0.1", ports.proxy_metrics)),
        )

    def _hub(self) -> Program:
        secret = self.directory.secret
        return Program(
            name="hub",
            argv=(sys.executable, "-m", "jupyterhub", "-f", str(self.hub_config_file)),
            environment={
                "AIPLATFORM_PLATFORM_TOKEN": secret("platform"),
                "AIPLATFORM_KEEPER_TOKEN": secret("keeper"),
                "AIPLATFORM_CULLER_TOKEN": secret("culler"),
                "AIPLATFORM_SUPERVISOR_TOKEN": secret("supervisor"),
                "AIPLATFORM_OPERATOR_TOKEN": secret("operator"),
                "CONFIGPROXY_AUTH_TOKEN": secret("proxy"),
                "JUPYTERHUB_CRYPT_KEY": secret("crypt-key"),
            },
            log_file=self._log("hub"),
            configuration=self.hub_config + self.operator.text,
            ports=(("127.0.0.1", self.ports.hub),),
        )

    def _culler(self) -> Program:
        return Program(
            name="culler",
            argv=culler_command(self.settings),
            environment={"JUPYTERHUB_API_TOKEN": self.directory.secret("culler"), "JUPYTERHUB_API_URL": self.settings.hub_api_url},
            log_file=self._log("culler"),
        )

    def _service(self, name: str, port: int) -> Program:
        base_url, prefix = self.settings.base_url, f"{self.settings.base_url}services/{name}/"
        scopes = json.dumps([f"access:services!service={name}"])
        return Program(
            name=name,
            argv=(sys.executable, "-m", f"aiplatform_hub.services.{name}", *arguments_of(self.settings)),
            environment={
                "JUPYTERHUB_API_TOKEN": self.directory.secret(name),
                "JUPYTERHUB_API_URL": self.settings.hub_api_url,
                "JUPYTERHUB_BASE_URL": base_url,
                "JUPYTERHUB_HOST": self.operator.subdomain_host,
                "JUPYTERHUB_SERVICE_NAME": name,
                "JUPYTERHUB_SERVICE_PREFIX": prefix,
                "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}",
                "JUPYTERHUB_CLIENT_ID": f"service-{name}",
                "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{self.operator.subdomain_host}{prefix}oauth_callback",
                "JUPYTERHUB_OAUTH_SCOPES": scopes,
                "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
            },
            log_file=self._log(name),
            ports=(("127.0.0.1", port),),
        )
