"""The head of the ledger's chain, kept outside the database."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiplatform_hub.storage.usage import ChainHead


class LedgerHead:
    """A small file with the newest sequence and hash. Several processes may write it; it only ever moves forward."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ChainHead:
        """Return what the file holds; sequence 0 when there is no file.

        Raises
        ------
        ValueError
            If the file is damaged.
        """
        try:
            content = json.loads(self._path.read_text())
        except FileNotFoundError:
            return ChainHead()
        try:
            return ChainHead(sequence=int(content["sequence"]), hash=str(content["hash"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self._path} is damaged") from error

    def write(self, sequence: int, hash_: str) -> None:
        """Store a newer head, safe against a power cut; an older one changes nothing."""
        with self._lock():
            if sequence <= self._current():
                return
            temporary = self._path.with_name(f"{self._path.name}.new")
            with temporary.open("w") as file:
                json.dump({"sequence": sequence, "hash": hash_}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _current(self) -> int:
        try:
            return self.read().sequence
        except ValueError:
            return 0

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with self._path.with_name(f"{self._path.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
