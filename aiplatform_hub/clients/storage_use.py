"""How much a home folder holds."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

BLOCK_BYTES = 512
"""Unit of ``st_blocks``, whatever the file system's own."""
_CHECK_EVERY = 1000


class _TimeIsUpError(Exception):
    """The walk took longer than allowed."""


def home_bytes(path: Path, *, timeout_seconds: float = 60.0) -> int | None:
    """Return the bytes that a folder occupies on the disk, or None if they cannot be counted in time.

    Links are not followed, other file systems below are not entered, a file with several names counts once, and a
    file that vanishes meanwhile counts 0. A folder that cannot be read makes the answer None: a partial sum would pass
    for the whole.
    """
    until = time.monotonic() + timeout_seconds
    try:
        root = path.lstat()
        if not stat.S_ISDIR(root.st_mode):
            return None
        return root.st_blocks * BLOCK_BYTES + _below(path, root.st_dev, until)
    except (OSError, _TimeIsUpError):
        return None


def _below(root: Path, device: int, until: float) -> int:
    total, entries = 0, 0
    seen: set[int] = set()
    folders = [str(root)]
    while folders:
        for entry in _entries(folders.pop(), is_root=not entries):
            entries += 1
            if entries % _CHECK_EVERY == 0 and time.monotonic() > until:
                raise _TimeIsUpError
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_dev != device or status.st_ino in seen:
                continue
            total += status.st_blocks * BLOCK_BYTES
            if stat.S_ISDIR(status.st_mode):
                folders.append(entry.path)
            elif status.st_nlink > 1:
                seen.add(status.st_ino)
    return total


def _entries(folder: str, *, is_root: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        if is_root:
            raise
        return []
