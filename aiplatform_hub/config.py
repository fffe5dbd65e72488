"""Settings: read once at the edge, passed down as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_DATA_DIR = Path("data")
"""Where ``make run`` keeps everything, relative to the working directory."""


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
    hub_api_url: str = "http://127.0.0.1:8081/hub/api"
    base_url: str = "/"
    """The hub's base URL, with slashes at both ends."""
    platform_port: int = 8090
    keeper_port: int = 8091
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
