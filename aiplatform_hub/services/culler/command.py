"""How the stock culler is started, so that it asks us."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from aiplatform_hub.config import Settings, arguments_of

CONFIG_FILE = Path(__file__).parent / "culler_config.py"
"""What the culler reads beside its command line."""
MODULE = "jupyterhub_idle_culler"
EVERY_SECONDS = 300
"""Time between two looks at every server."""
DEFAULT_TIMEOUT_SECONDS = 600
"""The stock culler's own."""


def culler_command(settings: Settings) -> tuple[str, ...]:
    """Return the command of the culler; the hub's address and the token are in its environment."""
    limit_seconds = settings.stop_inactive_minutes * 60
    every_seconds = min(EVERY_SECONDS, limit_seconds // 2 or EVERY_SECONDS)
    return asking_us((sys.executable, "-m", MODULE, f"--timeout={limit_seconds}", f"--cull-every={every_seconds}"), settings)


def timeout_seconds(command: Sequence[str]) -> int:
    """Return after how long a command of the culler ends what nobody uses."""
    words = " ".join(command)
    found = re.search(r"--timeout[= ](\d+)", words)
    return int(found[1]) if found else DEFAULT_TIMEOUT_SECONDS


def asking_us(command: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Return a command of the culler with our configuration file, and after ``--`` what that needs to know. One with a file of its own stays."""
    if any(word.startswith("--config") for word in command):
        return tuple(command)
    return (*command, f"--config={CONFIG_FILE}", "--", *arguments_of(settings))
