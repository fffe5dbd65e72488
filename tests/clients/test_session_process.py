"""What a server's process gets, and what it does not get."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from session_support import until

NOBODY = 65534


def _as_nobody(sessions, script, **values):
    assert os.geteuid() == 0, "this test needs root, as CI has it"
    for folder in (sessions.folder, *sessions.folder.parents):
        if folder not in {Path("/"), Path("/tmp")}:
            folder.chmod(0o755)
    home = sessions.folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    return sessions.python(script, uid=NOBODY, gid=NOBODY, cwd=home, **values)


def test_process_gets_exactly_what_the_spec_says(sessions):
    script = """
import os, json
mask = os.umask(0)
signals = open("/proc/self/status").read()
print(json.dumps({
    "env": sorted(os.environ), "cwd": os.getcwd(), "umask": mask,
    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1], "stdin": os.readlink("/proc/self/fd/0"),
    "blocked": signals.split("SigBlk:")[1].split()[0], "group": os.getpgrp() == os.getsid(0) == os.getpid(),
}))
"""
    inherited, _ = os.pipe()
    os.set_inheritable(inherited, True)
    record = sessions.start("/usr/bin/python3", "-c", script, env={"PATH": "/bin", "X": "1"})
    sessions.wait(record.allocation_id)
    import json

    seen = json.loads(sessions.log(record))
    # Python sets LC_CTYPE for itself where the locale is C.
    assert set(seen.pop("env")) - {"LC_CTYPE"} == {"PATH", "X", "AIPLATFORM_ALLOCATION_ID"}
    assert seen == {"cwd": str(sessions.folder), "umask": 0o077, "fds": [0, 1, 2], "stdin": "/dev/null", "blocked": "0" * 16, "group": True}


RESERVED_BY_THE_C_LIBRARY = 1 << 31 | 1 << 32
"""Signals 32 and 33, which no program can set; some shells pass them on as ignored."""


def test_signals_that_the_hub_ignores_are_not_ignored_in_the_server(sessions):
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        record = sessions.shell("grep SigIgn /proc/self/status")
    finally:
        signal.signal(signal.SIGHUP, previous)
    sessions.wait(record.allocation_id)
    ignored = int(sessions.log(record).split()[1], 16)
    assert ignored & ~RESERVED_BY_THE_C_LIBRARY == 0


def test_only_the_server_gives_up_root(sessions):
    record = _as_nobody(sessions, "import os, time; print(os.getresuid(), os.getresgid(), os.getgroups(), flush=True); time.sleep(60)", groups=(12345,))
    until(lambda: sessions.log(record))
    assert sessions.log(record).strip() == f"({NOBODY}, {NOBODY}, {NOBODY}) ({NOBODY}, {NOBODY}, {NOBODY}) [12345]"
    assert Path(f"/proc/{record.runner.pid}").stat().st_uid == 0
    assert (sessions.folder / "logs" / f"{record.allocation_id}.log").stat().st_uid == 0
    assert sessions.spool.folder(record.allocation_id).stat().st_uid == 0


def test_server_of_another_account_reaches_neither_spool_nor_runner(sessions):
    script = """
import os, sys
def attempt(act, *args):
    try:
        act(*args)
        print("done", act.__name__)
    except PermissionError:
        print("refused")
attempt(os.listdir, sys.argv[1])
attempt(open, sys.argv[1] + "/" + os.environ["AIPLATFORM_ALLOCATION_ID"] + "/record.jsonl")
attempt(open, sys.argv[2])
attempt(os.setuid, 0)
attempt(os.kill, os.getppid(), 15)
"""
    path = sessions.spool.path
    log = sessions.folder / "logs" / "x.log"
    record = _as_nobody(sessions, f"import sys; sys.argv += [{str(path)!r}, {str(log)!r}]\n{script}", log_path=log)
    assert sessions.wait(record.allocation_id).exit_code == 0
    assert log.read_text().split() == ["refused"] * 5


def test_account_that_cannot_be_taken_is_a_sentence(sessions):
    record = _as_nobody(sessions, "pass", groups=(-5,)) if os.geteuid() else sessions.python("pass", uid=NOBODY, gid=-5)
    assert record.message.startswith("The process cannot take the user's account")


def test_runner_is_small(sessions):
    record = sessions.start("sleep", "60")
    status = Path(f"/proc/{record.runner.pid}/status").read_text()
    kib = int(status.split("VmRSS:")[1].split()[0])
    print(f"\nRSS of one session runner: {kib / 1024:.1f} MiB")
    assert kib < 15_000


def test_session_outlives_the_process_that_launched_it(sessions):
    script = f"""
import sys, uuid
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from session_support import Sessions
print(Sessions(Path({str(sessions.folder)!r})).start("sleep", "60").allocation_id, flush=True)
import os, signal
os.killpg(0, signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (allocation_id,) = sessions.spool.allocation_ids()
    record = sessions.read(allocation_id)
    assert record.is_alive
    assert record.is_runner_alive
