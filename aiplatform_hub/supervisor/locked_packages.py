"""Installs a lock file with hashes: by uv where it is at hand, else by pip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from aiplatform_hub.errors import ServiceUnavailableError


def install_locked(python: Path, lock: Path, *, is_shown: bool = False) -> None:
    """Install a lock's packages into the environment of an interpreter.

    Raises
    ------
    ServiceUnavailableError
        If the installer fails; its own words are in the message.
    """
    uv = find_uv()
    if uv:
        command = [str(uv), "pip", "install", "--python", str(python), "--require-hashes", "--compile-bytecode", "-r", str(lock)]
    else:
        command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    # The machine's own list of authorities, where a company's is: the new name of the setting, and the one that an older uv knows.
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1", "UV_NATIVE_TLS": "1"}
    run_step(command, what=f"Installing {lock.name}", environment=environment, is_shown=is_shown)


def run_step(command: list[str], *, what: str, cwd: Path | None = None, environment: dict[str, str] | None = None, is_shown: bool = False) -> None:
    """Run one step of an installation; quietly unless it fails or ``is_shown``, which lets its progress through.

    Raises
    ------
    ServiceUnavailableError
        If it fails, with the last lines that it wrote.
    """
    pipe = None if is_shown else subprocess.PIPE
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if is_shown else pipe,
            stderr=pipe,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise ServiceUnavailableError(f"{what} failed: {error}") from error
    with process:
        try:
            output, errors = process.communicate()
        except BaseException:
            # Ctrl-C: compilers and downloads that it started must not write on into a folder that is being removed.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        last = "\n".join(((output or "") + (errors or "")).strip().splitlines()[-15:])
        raise ServiceUnavailableError(f"{what} failed (exit code {process.returncode}):\n{last}".rstrip(":\n"))


def find_uv() -> Path | None:
    """Return a uv that runs, or None."""
    beside = Path(sys.executable).with_name("uv")
    found = beside if beside.exists() else shutil.which("uv")
    if not found:
        return None
    try:
        done = subprocess.run([str(found), "--version"], capture_output=True, check=False)
    except OSError:
        return None
    return Path(found) if done.returncode == 0 else None
