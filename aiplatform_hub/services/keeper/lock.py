"""One keeper acts; others wait for it to end."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.storage.database import AdvisoryLock, Database

WAIT_SECONDS = 2
"""Time between two tries to become the one keeper, and between two looks whether it still is."""
LOCK_NUMBER = 0x6169706C6B656570
"""Of the keeper's lock in a PostgreSQL database: ``aiplkeep``."""
_LOG = logging.getLogger(__name__)


class KeeperLock(Protocol):
    """What only one keeper can have. Methods may block."""

    def acquire(self) -> bool:
        """Try to take it; False while another keeper has it."""

    def is_held(self) -> bool:
        """Whether this keeper still has it."""

    def release(self) -> None:
        """Give it up."""


class FileLock:
    """A locked file of the data directory: for one machine."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(run_dir / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")

    def acquire(self) -> bool:
        """Try to take it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def is_held(self) -> bool:
        """Return True: a file stays locked until this process ends."""
        return True

    def release(self) -> None:
        """Close the file."""
        self._file.close()


def lock_for(database: Database, run_dir: Path) -> KeeperLock:
    """Return the lock that every keeper of this database shares."""
    return FileLock(run_dir) if database.is_sqlite else AdvisoryLock(url=database.url, number=LOCK_NUMBER)


async def acquired(lock: KeeperLock, stop: asyncio.Event) -> bool:
    """Wait until no other keeper has the lock; False if told to stop meanwhile."""
    is_told = False
    while not stop.is_set():
        try:
            if await asyncio.to_thread(lock.acquire):
                return True
            words = "Another keeper is at work; waiting for it to end"
        except ServiceUnavailableError as error:
            words = f"The database does not answer; trying again until it does: {error.__cause__ or error}"
        if not is_told:
            _LOG.warning("%s", words)
        is_told = True
        await pause(stop)
    return False


async def lost(lock: KeeperLock) -> None:
    """Return once this keeper has the lock no more: another may act by then, so this one must end."""
    while await asyncio.to_thread(lock.is_held):  # noqa: ASYNC110 - only asking tells
        await asyncio.sleep(WAIT_SECONDS)


async def pause(stop: asyncio.Event, seconds: float = WAIT_SECONDS) -> None:
    """Wait a little, or until told to stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
