"""Which home folders the keeper measures."""

from __future__ import annotations

import pwd
from collections.abc import Iterable
from pathlib import Path

from aiplatform_hub.clients.homes import home_folder
from aiplatform_hub.clients.storage_use import home_bytes
from aiplatform_hub.config import Settings


def home_of(user_name: str, settings: Settings) -> Path | None:
    """Return a person's home folder, or None if there is none of their own."""
    if not settings.isolates_users:
        return home_folder(settings.homes_dir, user_name)
    try:
        entry = pwd.getpwnam(user_name)
    except (KeyError, ValueError):
        return None
    return Path(entry.pw_dir) if entry.pw_uid else None


def measure(user_names: Iterable[str], settings: Settings) -> dict[str, int]:
    """Return the bytes that each person's home occupies; who cannot be measured is absent."""
    sizes = {}
    for user_name in user_names:
        home = home_of(user_name, settings)
        size = home_bytes(home) if home else None
        if size is not None:
            sizes[user_name] = size
    return sizes
