"""A PostgreSQL server of its own for a benchmark, with the durability of a default installation."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = Path("/usr/lib/postgresql/15/bin")


@contextmanager
def postgresql() -> Iterator[str]:
    """Address of an empty database; the server listens on a unix socket and ends with the block. ``fsync`` stays on."""
    if not (PROGRAMS / "initdb").exists():
        raise SystemExit("PostgreSQL 15 is missing. Install it with: apt-get install postgresql-15")
    folder = Path(tempfile.mkdtemp(prefix="pg-bench-"))
    if os.geteuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
    options = f"-k {folder} -c listen_addresses='' -c shared_buffers=512MB"
    try:
        _as_postgres("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        _as_postgres("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            _as_postgres("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_postgres(program: str, *arguments: object) -> None:
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*account, str(PROGRAMS / program), *map(str, arguments)], check=True, cwd="/", stdout=subprocess.DEVNULL)
