"""Home folders in the data directory."""

from __future__ import annotations

from pathlib import Path

from jupyterhub.slugs import safe_slug

FOLDER_NAME_LENGTH = 48


def folder_name(user_name: str) -> str:
    """Return a file name for a user's name, whatever characters it has; two names never give the same one."""
    return str(safe_slug(user_name, max_length=FOLDER_NAME_LENGTH))


def home_folder(homes_dir: Path, user_name: str) -> Path:
    """Return the home of a person whose servers do not run under a Unix account of their own."""
    return homes_dir / folder_name(user_name)
