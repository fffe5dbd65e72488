"""What ``aiplatform run`` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
DEMO_GPUS = 4
"""Simulated GPUs of a trial on a machine that has no real one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of one ``aiplatform run``. None means: not given, so the operator's file or a default decides."""

    data_dir: Path
    """Absolute."""
    is_demo: bool = False
    host: str | None = None
    port: int | None = None
    simulated_gpus: int | None = None
    config_file: Path | None = None
    """Operator's hub configuration; None means ``jupyterhub_config.py`` in the data directory if it exists."""
    catalog_dirs: tuple[Path, ...] = ()
    database_url: str = ""
    admins: tuple[str, ...] = ()
    allow_all: bool = False
    allow_groups: tuple[str, ...] = ()
    """Unix groups whose members may log in, as root."""
    new_passwords: bool = False
    """Make new passwords for the demo people."""
