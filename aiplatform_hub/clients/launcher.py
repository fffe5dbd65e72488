"""Starts a session runner and waits until the server's process runs or has failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.clients.processes import ALLOCATION_VARIABLE
from aiplatform_hub.clients.spool import SessionMeta, SessionRecord, Spool
from aiplatform_hub.errors import ServiceUnavailableError

RUNNER = Path(__file__).parents[1] / "session_runner.py"
"""The runner's program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """One server to start."""

    allocation_id: UUID
    spawner_id: int
    user_id: int
    """Id in the hub's database, not the account's."""
    argv: tuple[str, ...]
    env: Mapping[str, str]
    """The whole environment of the server; the allocation's id is added."""
    cwd: Path
    port: int
    """Loopback port that the server will listen on; 0 if it is not a port."""
    log_path: Path
    uid: int | None = None
    """Account to run as; None keeps the hub's own. Needs root."""
    gid: int | None = None
    groups: tuple[int, ...] = ()
    """Supplementary groups of the account."""
    memory_bytes: int | None = None
    cpu_cores: int | None = None
    devices: tuple[str, ...] = ()
    """UUIDs of the leased GPUs."""
    stop_grace_seconds: float = 10.0
    """How long a stop waits before it kills."""


def launch(spec: LaunchSpec, spool: Spool, *, cgroups: Cgroups | None = None, python: str = sys.executable) -> SessionRecord:
    """Start the runner and return once the server's process runs, or has failed (state ``failed``).

    Blocks for some tens of milliseconds, nearly all of it waiting; call it in a thread.

    Parameters
    ----------
    cgroups
        Where limits are enforced; by default what this machine permits.
    python
        Interpreter of the runner; no package is imported there.

    Raises
    ------
    FileExistsError
        If the allocation was launched before.
    ServiceUnavailableError
        If the spool cannot be written or no process can be made; nothing runs then.
    """
    groups = cgroups or Cgroups.detect()
    paths = groups.create(spec.allocation_id, memory_bytes=spec.memory_bytes, cpu_cores=spec.cpu_cores)
    try:
        meta = SessionMeta(user_id=spec.user_id, spawner_id=spec.spawner_id, port=spec.port, cgroups=paths.folders if paths else ())
        spool.prepare(spec.allocation_id, meta)
        spec.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _run(_message(spec, spool, meta, memory_cgroup=paths.memory if paths else None), spec.allocation_id, python)
    except FileExistsError:
        raise
    except OSError as error:
        groups.remove(spec.allocation_id)
        raise ServiceUnavailableError(f"The session could not be started: {error.strerror or error}.") from error
    record = spool.read(spec.allocation_id)
    if record is None:
        raise ServiceUnavailableError("The session could not be started: its record is gone.")
    return record


def _message(spec: LaunchSpec, spool: Spool, meta: SessionMeta, *, memory_cgroup: Path | None) -> bytes:
    values = {
        "folder": str(spool.folder(spec.allocation_id)),
        "port": spec.port,
        "argv": spec.argv,
        "env": {**spec.env, ALLOCATION_VARIABLE: str(spec.allocation_id)},
        "cwd": str(spec.cwd),
        "log_path": str(spec.log_path),
        "uid": spec.uid,
        "gid": spec.gid,
        "groups": spec.groups,
        "cgroups": [str(path) for path in meta.cgroups],
        "memory_cgroup": str(memory_cgroup) if memory_cgroup else None,
        "stop_grace_seconds": spec.stop_grace_seconds,
    }
    return json.dumps(values).encode()


def _run(message: bytes, allocation_id: UUID, python: str) -> None:
    """Hand the spec over and wait for the runner's one line.

    Without a preparing function, and with the session made by the runner itself, subprocess uses vfork: the hub's
    memory is not copied.
    """
    command = [python, "-I", "-S", str(RUNNER), str(allocation_id)]
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, input=message, capture_output=True, env=environment, cwd="/", check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["it gave no reason"]
        raise ServiceUnavailableError(f"The session runner did not start: {last[0]}.") from error
    if "error" in answer:
        raise ServiceUnavailableError(f"The session could not be started: {answer['error']}.")
