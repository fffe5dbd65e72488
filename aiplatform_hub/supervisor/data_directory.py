"""The data directory: its folders, secrets and ports, each made once and kept."""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from aiplatform_hub.clients.identity import Identity, is_alive
from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ConfigurationError, ConflictError

SECRET_NAMES = ("platform", "keeper", "culler", "supervisor", "operator", "proxy", "crypt-key")
PRIVATE_FILES = ("aiplatform.sqlite", "aiplatform.sqlite.migrate-lock", "jupyterhub.sqlite")
_FIRST_PORT, _LAST_PORT = 20000, 32000
"""Below the range from which the kernel takes ports of outgoing connections."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports. Sessions carry the hub's, so none of them changes while the data directory lives."""

    hub: int
    proxy_api: int
    platform: int
    keeper: int
    proxy_metrics: int


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file by a whole new one, on disk before this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)


class DataDirectory:
    """Makes and reads what ``aiplatform run`` keeps there.

    Parameters
    ----------
    path
        Absolute.
    is_traversable
        Whether other accounts must reach built environments and homes below it (as root).
    """

    def __init__(self, path: Path, *, is_traversable: bool = False) -> None:
        self.path = path
        self._settings = Settings(data_dir=path)
        self._mode = 0o711 if is_traversable else 0o700

    @property
    def run_dir(self) -> Path:
        """Lock, records and generated files."""
        return self._settings.run_dir

    def create(self) -> None:
        """Make every folder with its mode.

        Raises
        ------
        ConfigurationError
            If the folder cannot be made, read or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(self._mode)
            settings = self._settings
            for folder in (settings.run_dir, settings.secrets_dir, settings.spool_dir, settings.logs_dir, settings.environments_dir):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o755 if folder == settings.environments_dir else 0o700)
            settings.homes_dir.mkdir(exist_ok=True)
            settings.homes_dir.chmod(0o711)
            for name in PRIVATE_FILES:
                # SQLite gives its journals the mode of the database; made here, so that it is never open to others.
                os.close(os.open(self.path / name, os.O_RDWR | os.O_CREAT, 0o600))
                (self.path / name).chmod(0o600)
        except OSError as error:
            where = error.filename or self.path
            problem = (error.strerror or str(error)).lower()
            raise ConfigurationError(
                f"Cannot use the data directory {self.path}: {where}: {problem}. Give this account the folder (chown) or name another one with --data-dir."
            ) from error

    def secret(self, name: str) -> str:
        """Return a secret, made at its first use and kept in a file of mode 0600."""
        path = self._settings.secrets_dir / name
        with suppress(FileNotFoundError):
            return path.read_text().strip()
        value = secrets.token_hex(32)
        write_atomically(path, value + "\n")
        return value

    def existing_secret(self, name: str) -> str | None:
        """Return a secret that was made before, or None.

        Raises
        ------
        ConfigurationError
            If this account may not read it.
        """
        try:
            return (self._settings.secrets_dir / name).read_text().strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(
                f"This account may not read the secrets of {self.path}. Run the command as the account that runs `aiplatform run`."
            ) from error

    def ports(self) -> Ports:
        """Return the internal ports, chosen free at the first start."""
        found = self.existing_ports()
        if found:
            return found
        chosen = Ports(*_free_ports(5))
        write_atomically(self.run_dir / "ports.json", json.dumps(asdict(chosen)) + "\n")
        return chosen

    def existing_ports(self) -> Ports | None:
        """Return the internal ports, or None before the first start."""
        path = self.run_dir / "ports.json"
        try:
            return Ports(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise ConfigurationError(f"{path} cannot be read ({error}). Restore it, or remove it while no session runs.") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one supervisor.

        Raises
        ------
        ConflictError
            If another one has it; the message names its process and address.
        """
        with (self.run_dir / "lock").open("a") as file:
            try:
                flock(file, LOCK_EX | LOCK_NB)
            except OSError as error:
                raise ConflictError(f"`aiplatform run` is already running on {self.path}{self._holder()}. Nothing was started.") from error
            yield

    def is_locked(self) -> bool:
        """Whether a supervisor runs on it now."""
        try:
            with (self.run_dir / "lock").open("r") as file:
                flock(file, LOCK_EX | LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def has_live_record(self, name: str) -> bool:
        """Whether a program that some supervisor started still runs."""
        with suppress(OSError, ValueError, KeyError):
            note = json.loads((self.run_dir / f"{name}.json").read_text())
            return is_alive(Identity(note["pid"], note["start_ticks"]))
        return False

    def note_supervisor(self, *, address: str, hub_api_url: str) -> None:
        """Write down who holds the lock and where the hub is."""
        note = {"pid": os.getpid(), "address": address, "hub_api_url": hub_api_url}
        write_atomically(self.run_dir / "supervisor.json", json.dumps(note) + "\n")

    def hub_api_url(self) -> str | None:
        """Return the address of the hub's API at the last start, or None before the first."""
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads((self.run_dir / "supervisor.json").read_text())["hub_api_url"])
        return None

    def _holder(self) -> str:
        with suppress(OSError, ValueError, KeyError):
            note = json.loads((self.run_dir / "supervisor.json").read_text())
            return f" (process {note['pid']}, {note['address']})"
        return ""


def _free_ports(count: int) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < count:
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        if port not in chosen and is_free("127.0.0.1", port):
            chosen.append(port)
    return chosen
