"""How the stock culler is started, so that it asks us."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from aiplatform_hub.config import Settings, arguments_of

CONFIG_FILE = Path(__file__).parent / "culler_config.py"
"""What the culler reads beside its command line."""
MODULE = "jupyterhub_idle_culler"
EVERY_SECONDS = 300
"""Time between two looks at every server."""


def culler_command(settings: Settings) -> tuple[str, ...]:
    """Return the command of the culler; the hub's address and the token are in its environment."""
    limit_seconds = settings.stop_inactive_minutes * 60
    own = (sys.executable, "-m", MODULE, f"--timeout={limit_seconds}", f"--cull-every={min(EVERY_SECONDS, max(1, limit_seconds // 2))}")
    return asking_us(own, settings)


def asking_us(command: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """Return a command of the culler with our configuration file, and after ``--`` what that needs to know. One with a file of its own stays."""
    if any(word.startswith("--config") for word in command):
        return tuple(command)
    return (*command, f"--config={CONFIG_FILE}", "--", *arguments_of(settings))
