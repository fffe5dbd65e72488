"""A process's identity: number and start time, so that a reused number is never taken for it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_STATE, _START_TICKS = 0, 19  # fields of stat after the command's name


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, told apart from a later one with the same number."""

    pid: int
    start_ticks: int
    """Clock ticks since boot at its start."""


def stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of ``/proc/PID/stat`` that follow the command's name, or None if there is no such process."""
    # The command's name may hold spaces and brackets: the fields start after the last bracket.
    try:
        return (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None


def start_ticks(pid: int) -> int | None:
    """Return the start of a process in clock ticks since boot, or None if there is no such process."""
    fields = stat_fields(pid)
    return int(fields[_START_TICKS]) if fields else None


def identify(pid: int) -> Identity | None:
    """Return the identity of the process that has this number now."""
    ticks = start_ticks(pid)
    return None if ticks is None else Identity(pid, ticks)


def is_alive(identity: Identity) -> bool:
    """Whether this very process still runs; stopped ones do, zombies do not."""
    fields = stat_fields(identity.pid)
    return fields is not None and int(fields[_START_TICKS]) == identity.start_ticks and fields[_STATE] not in {b"Z", b"X"}


def all_pids() -> Iterator[int]:
    """Return the number of every process that is visible here."""
    for name in os.listdir(_PROC):  # noqa: PTH208 - a Path per process is what costs here
        if name.isdigit():
            yield int(name)


@contextmanager
def _handle(identity: Identity) -> Iterator[int | None]:
    """Hold a pidfd of this very process, or None if it is gone.

    The start time is compared after the handle was opened: from then on the handle means that process and no other.
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except OSError:
        yield None
        return
    try:
        yield handle if start_ticks(identity.pid) == identity.start_ticks else None
    finally:
        os.close(handle)


def send_signal(identity: Identity, number: int) -> bool:
    """Signal this very process, never another one that took its number; False if it is gone or not ours to signal."""
    with _handle(identity) as handle:
        if handle is None:
            return False
        try:
            signal.pidfd_send_signal(handle, number)
        except OSError:
            return False
        return True


def wait_for_exit(identity: Identity, seconds: float) -> bool:
    """Wait until the process has ended; False when it still runs after these seconds."""
    with _handle(identity) as handle:
        if handle is None:
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(max(0, int(seconds * 1000))))
