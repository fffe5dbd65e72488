"""The session runner: parent of one user server, keeper of its record.

Started as ``python -I -S session_runner.py ALLOCATION`` with a JSON spec on
standard input. It leaves the hub's session and process tree, so it lives on when
the hub dies, and does for a process what a shim does for a container: it starts
the server, waits for it, and writes start, exit, code and signal to the spool,
each line on the disk before the next step is taken. Every descendant of the server
stays below it (a "subreaper"), and none outlives the server.

Standard library only, and little of it: one runner lives per session.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from typing import NoReturn

ALIVE_SECONDS = 10
"""Seconds between two proofs of life."""
LEFTOVER_SECONDS = 30
"""Longest time spent on killing descendants (one may hang in the kernel)."""
DISK_FULL_SECONDS = 600
"""How long the end of a session waits for room on the disk before it is given up."""
PR_SET_CHILD_SUBREAPER = 36
START_TICKS_FIELD = 19
"""Place of the start time in ``/proc/PID/stat``, counted after the command's name."""

WATCHED = {signal.SIGTERM, signal.SIGCHLD}
BLOCKED = WATCHED | {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Spec = dict[str, Any]


def boottime() -> int:
    """Nanoseconds since boot, suspended time included; no clock setting moves it."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return the kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[START_TICKS_FIELD])


class Record:
    """The session's files: ``record.jsonl`` and ``alive`` in its spool folder."""

    def __init__(self, folder: str) -> None:
        self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open("record.jsonl", flags, 0o600, dir_fd=self._folder_fd)
        self._alive_fd = os.open("alive", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self._folder_fd)
        self._boot_id = boot_id()

    def append(self, event: str, **values: object) -> None:
        """Add one line; it is on the disk when this returns. A line that does not fit leaves no trace."""
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError(28, "No space left on device")
            os.fsync(self._fd)
            os.fsync(self._folder_fd)
        except OSError:
            os.ftruncate(self._fd, size)
            raise

    def append_patiently(self, event: str, **values: object) -> None:
        """Add one line, waiting for room on the disk if there is none."""
        give_up_at = time.monotonic() + DISK_FULL_SECONDS
        while True:
            try:
                return self.append(event, **values)
            except OSError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(1)

    def touch(self) -> None:
        """Note that the server lives now. A disk that refuses costs precision, not the session."""
        text = json.dumps({"boottime": boottime(), "boot_id": self._boot_id}).encode().ljust(100) + b"\n"
        try:
            os.pwrite(self._alive_fd, text, 0)
            os.fdatasync(self._alive_fd)
        except OSError:
            return


def out_of_memory_kills(memory_cgroup: str | None) -> int:
    """Return how often the kernel killed for memory in this cgroup (v2, then v1)."""
    for name in ("memory.events", "memory.oom_control") if memory_cgroup else ():
        try:
            with open(f"{memory_cgroup}/{name}", encoding="ascii") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except (OSError, StopIteration):
            continue
    return 0


def children() -> list[int]:
    """Return the pids of this process's own children, zombies included."""
    me, found = str(os.getpid()).encode(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    if file.read().rpartition(b")")[2].split()[1] == me:
                        found.append(int(name))
            except OSError:
                continue
    return found


class Server:
    """The server's process from the fork to the last of its descendants."""

    def __init__(self, spec: Spec, record: Record) -> None:
        self._spec = spec
        self._record = record
        self.pid = 0
        self._status: int | None = None
        self._ended_boottime = 0

    def start(self) -> str:
        """Fork, record and exec; return an empty text or a sentence on what went wrong."""
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        go_read, go_write = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(go_write)
            _become_server(self._spec, status_write, go_read)
        os.close(status_write)
        os.close(go_read)
        first = os.read(status_read, 1)
        if first == b"+":
            self._record.append(
                "started",
                pid=self.pid,
                pid_start=start_ticks(self.pid),
                at=time.time_ns() // 1000,
                boottime=boottime(),
                boot_id=boot_id(),
            )
            os.write(go_write, b"+")
            first = b""
        os.close(go_write)  # without the byte before, the child ends here and never execs
        message = first + _read_all(status_read)
        os.close(status_read)
        if message:
            os.waitpid(self.pid, 0)
        return message.decode(errors="replace")

    def wait(self) -> None:
        """Wait for the end, or for the order to end it; then leave no descendant and record the exit."""
        stop_at, is_stopped = None, False
        while self._status is None:
            left = ALIVE_SECONDS if stop_at is None else min(ALIVE_SECONDS, max(0.0, stop_at - time.monotonic()))
            caught = signal.sigtimedwait(WATCHED, left)
            self._reap()
            if self._status is not None:
                break
            if caught is not None and caught.si_signo == signal.SIGTERM and not is_stopped:
                is_stopped, stop_at = True, time.monotonic() + self._spec["stop_grace_seconds"]
                self._signal_group(signal.SIGTERM)
                self._signal_group(signal.SIGCONT)  # a stopped process hears nothing else
            elif stop_at is not None and time.monotonic() >= stop_at:
                self._signal_group(signal.SIGKILL)
                stop_at = time.monotonic() + 1
            elif caught is None:
                self._record.touch()
        self._finish(is_stopped=is_stopped)

    def _finish(self, *, is_stopped: bool) -> None:
        status = self._status or 0
        ended_boottime = self._ended_boottime
        self.kill_leftovers()
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        is_oom = number == signal.SIGKILL and not is_stopped and out_of_memory_kills(self._spec.get("memory_cgroup")) > 0
        code = os.WEXITSTATUS(status) if number is None else None
        self._record.append_patiently("exited", boottime=ended_boottime, code=code, signal=number, oom=is_oom, stopped=is_stopped)
        remove_cgroups(self._spec)

    def _signal_group(self, number: int) -> None:
        # The server is not reaped yet, so its pid, which names the group, is still its own.
        try:
            os.killpg(self.pid, number)
        except OSError:
            return

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid:
                self._status, self._ended_boottime = status, boottime()

    def kill_leftovers(self) -> None:
        """Kill own children until there are none; children of the killed become own ones.

        Only own children are ever signalled: their pids cannot be given away before they are reaped here.
        """
        give_up_at = time.monotonic() + LEFTOVER_SECONDS
        while time.monotonic() < give_up_at:
            self._reap()
            left = children()
            if not left:
                return
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:  # a program that runs as another account
                    continue
            signal.sigtimedwait({signal.SIGCHLD}, 0.1)


def remove_cgroups(spec: Spec) -> None:
    """Remove the session's cgroups, which are empty now."""
    for path in spec.get("cgroups", ()):
        try:
            os.rmdir(path)
        except OSError:
            continue


def _read_all(fd: int) -> bytes:
    parts = []
    while part := os.read(fd, 65536):
        parts.append(part)
    return b"".join(parts)


def _become_server(spec: Spec, status_fd: int, go_fd: int) -> NoReturn:
    """Turn the forked child into the server; on an error send a sentence and end."""
    step = "The server could not be prepared"
    try:
        os.setsid()
        step = "The session's log cannot be written"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(spec["log_path"], flags, 0o600)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        for target, source in enumerate((null, log, log)):
            os.dup2(source, target)
        step = "The memory and CPU limits cannot be applied"
        for path in spec.get("cgroups", ()):
            with open(f"{path}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
        step = "The process cannot take the user's account"
        _take_account(spec)
        step = f"The home folder {spec['cwd']} cannot be entered"
        os.chdir(spec["cwd"])
        os.umask(0o077)
        _reset_signals()
        os.write(status_fd, b"+")
        if not os.read(go_fd, 1):
            os._exit(1)
        step = f"The program {spec['argv'][0]} cannot be started"
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606
    except BaseException as error:  # noqa: BLE001 - the last thing this process does is to say why
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        os.write(status_fd, f"{step}: {reason}.".encode())
    finally:
        os._exit(1)


def _take_account(spec: Spec) -> None:
    if spec.get("uid") is None:
        return
    os.setgroups(spec.get("groups", []))
    os.setresgid(spec["gid"], spec["gid"], spec["gid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])


def _reset_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _detach(folder: str) -> None:
    """Let go of the launcher's pipes; what goes wrong from now on stands in ``runner.log``."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    log = os.open(f"{folder}/runner.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    for target, source in enumerate((null, null, log)):
        os.dup2(source, target)


def _answer(**values: object) -> None:
    try:
        os.write(1, json.dumps(values).encode() + b"\n")
    except OSError:
        return  # the launcher is gone; the spool has it all


def run(spec: Spec) -> None:
    """Live one session, from the plan to the end."""
    try:
        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "this kernel has no subreaper")
        record = Record(spec["folder"])
        server = Server(spec, record)
        record.append("planned", port=spec["port"], runner_pid=os.getpid(), runner_start=start_ticks(os.getpid()), boottime=boottime(), boot_id=boot_id())
        message = server.start()
    except OSError as error:
        # The child saw the pipe close and ended without an exec: nothing runs.
        remove_cgroups(spec)
        _answer(error=f"{error.strerror or error}")
        return
    if message:
        server.kill_leftovers()
        remove_cgroups(spec)
        record.append_patiently("failed", message=message, boottime=boottime())
        _answer(failed=message)
        return
    spec["env"] = {}
    _answer(pid=server.pid)
    _detach(spec["folder"])
    record.touch()
    server.wait()


def main() -> None:
    """Read the spec, leave the launcher's process tree and session, and run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    spec = json.loads(_read_all(0))
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:  # noqa: PLR2004
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue
    if os.fork() == 0:
        os.setsid()
        os.umask(0o077)
        os.chdir("/")
        run(spec)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
