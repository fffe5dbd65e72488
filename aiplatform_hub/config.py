"""Settings: read once at the edge, passed down as one value."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_DATA_DIR = Path("data")
"""Where ``make run`` keeps everything, relative to the working directory."""

DEFAULT_HUB_API_URL = "http://127.0.0.1:8081/hub/api"
"""Where JupyterHub's API listens unless configured otherwise."""
DEFAULT_PLATFORM_PORT = 8090
"""Port of the platform service."""
DEFAULT_KEEPER_PORT = 8091
"""Loopback port of the keeper's ``/metrics``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and how this installation runs. What it offers is the catalogue's matter."""

    data_dir: Path
    """Absolute. Holds databases, secrets, spool, logs, built environments and demo homes."""
    database_url: str = ""
    """SQLAlchemy address; empty means ``aiplatform.sqlite`` in the data directory."""
    catalog_dirs: tuple[Path, ...] = ()
    """Operator's catalogue folders, laid over the built-in one in order; empty means ``catalog/`` in the data directory if it exists."""
    simulated_gpus: int = 0
    """Number of labelled pretend GPUs; 0 uses what NVML reports."""
    is_demo: bool = False
    hub_api_url: str = DEFAULT_HUB_API_URL
    base_url: str = "/"
    """The hub's base URL, with slashes at both ends."""
    platform_port: int = DEFAULT_PLATFORM_PORT
    keeper_port: int = DEFAULT_KEEPER_PORT
    """Loopback port of the keeper's ``/metrics``."""

    @property
    def resolved_database_url(self) -> str:
        """The database address with the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'aiplatform.sqlite'}"

    @property
    def resolved_catalog_dirs(self) -> tuple[Path, ...]:
        """The overlay folders with the default filled in."""
        if self.catalog_dirs:
            return self.catalog_dirs
        own = self.data_dir / "catalog"
        return (own,) if own.is_dir() else ()

    @property
    def spool_dir(self) -> Path:
        """One folder per allocation, written by the session runner."""
        return self.data_dir / "spool"

    @property
    def secrets_dir(self) -> Path:
        """Tokens and keys, one file each, mode 0600 in a folder of mode 0700."""
        return self.data_dir / "secrets"

    @property
    def logs_dir(self) -> Path:
        """Logs of the processes; ``sessions/<allocation id>.log`` for servers."""
        return self.data_dir / "logs"

    @property
    def environments_dir(self) -> Path:
        """Environments that ``aiplatform environments build`` made, one folder per image."""
        return self.data_dir / "environments"

    @property
    def homes_dir(self) -> Path:
        """Home folders of demo users."""
        return self.data_dir / "homes"

    @property
    def run_dir(self) -> Path:
        """The supervisor's lock, process records and generated hub configuration."""
        return self.data_dir / "run"

    @property
    def isolates_users(self) -> bool:
        """Whether each person's servers run under an account of their own: as root, and not in a trial."""
        return os.geteuid() == 0 and not self.is_demo

    @property
    def ledger_head_file(self) -> Path:
        """Head hash and count of the ledger, kept outside the database."""
        return self.data_dir / "ledger-head.json"

    @property
    def api_prefix(self) -> str:
        """Path of the platform service, with slashes at both ends."""
        return f"{self.base_url}services/platform/"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Tokens handed over by the supervisor in the environment; empty where the hub makes its own."""

    platform_token: str = field(default="", repr=False)
    keeper_token: str = field(default="", repr=False)
    supervisor_token: str = field(default="", repr=False)
    proxy_token: str = field(default="", repr=False)


def secrets_from_environment() -> Secrets:
    """Read the tokens from ``AIPLATFORM_*_TOKEN`` and ``CONFIGPROXY_AUTH_TOKEN``."""
    return Secrets(
        platform_token=os.environ.get("AIPLATFORM_PLATFORM_TOKEN", ""),
        keeper_token=os.environ.get("AIPLATFORM_KEEPER_TOKEN", ""),
        supervisor_token=os.environ.get("AIPLATFORM_SUPERVISOR_TOKEN", ""),
        proxy_token=os.environ.get("CONFIGPROXY_AUTH_TOKEN", ""),
    )


def service_token_from_environment() -> str:
    """Read a service's own token, as the hub hands it to a managed service; empty if there is none."""
    return os.environ.get("JUPYTERHUB_API_TOKEN", "")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the settings' options to a service's command line."""
    parser.add_argument("--data-dir", type=Path, default=DEFAULT_DATA_DIR, help="folder of databases, secrets, spool and logs")
    parser.add_argument("--database-url", default="", help="SQLAlchemy address; default: aiplatform.sqlite in the data directory")
    parser.add_argument("--catalog-dir", type=Path, action="append", default=[], help="catalogue folder laid over the built-in one; may be given several times")
    parser.add_argument("--simulated-gpus", type=int, default=0, metavar="N", help="number of labelled pretend GPUs; 0 uses what the machine has")
    parser.add_argument("--demo", action="store_true", help="this is a trial installation")
    parser.add_argument("--hub-api-url", default=os.environ.get("JUPYTERHUB_API_URL", ""), help="address of the hub's API; default: JUPYTERHUB_API_URL")
    parser.add_argument("--base-url", default=os.environ.get("JUPYTERHUB_BASE_URL", "/"), help="the hub's base URL; default: JUPYTERHUB_BASE_URL")
    parser.add_argument("--platform-port", type=int, default=DEFAULT_PLATFORM_PORT, help="port of the platform service")
    parser.add_argument("--keeper-port", type=int, default=DEFAULT_KEEPER_PORT, help="loopback port of the keeper's metrics")


def settings_from(arguments: Namespace) -> Settings:
    """Return the settings that parsed options state."""
    return Settings(
        data_dir=arguments.data_dir.absolute(),
        database_url=arguments.database_url,
        catalog_dirs=tuple(folder.absolute() for folder in arguments.catalog_dir),
        simulated_gpus=arguments.simulated_gpus,
        is_demo=arguments.demo,
        hub_api_url=(arguments.hub_api_url or DEFAULT_HUB_API_URL).rstrip("/"),
        base_url=f"/{arguments.base_url.strip('/')}/".replace("//", "/"),
        platform_port=arguments.platform_port,
        keeper_port=arguments.keeper_port,
    )


def arguments_of(settings: Settings) -> list[str]:
    """Return the options that give these settings again."""
    arguments = ["--data-dir", str(settings.data_dir)]
    if settings.database_url:
        arguments += ["--database-url", settings.database_url]
    for folder in settings.catalog_dirs:
        arguments += ["--catalog-dir", str(folder)]
    if settings.is_demo:
        arguments.append("--demo")
    return [
        *arguments,
        *("--simulated-gpus", str(settings.simulated_gpus)),
        *("--hub-api-url", settings.hub_api_url),
        *("--base-url", settings.base_url),
        *("--platform-port", str(settings.platform_port)),
        *("--keeper-port", str(settings.keeper_port)),
    ]
