"""What sessions take, of real processes; and of control groups as the kernel writes them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from session_support import until

from aiplatform_hub.clients.session_use import SessionProcesses, _group_cpu_seconds, _group_memory_bytes

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIB = 1024**2
BUSY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'held = bytearray(64 * 2**20)\\nwhile True: sum(range(10000))'])"


def test_a_sessions_children_count_and_others_do_not(sessions) -> None:
    busy, quiet = sessions.python(BUSY), sessions.shell("exec sleep 600")
    look = SessionProcesses(spool=sessions.spool)

    def uses():
        return look.measure([busy.allocation_id, quiet.allocation_id, uuid4()], NOW)

    found = until(lambda: (seen := uses())[busy.allocation_id].cpu_seconds > 0.5 and seen[busy.allocation_id].memory_bytes > 64 * MIB and seen, seconds=60)
    assert set(found) == {busy.allocation_id, quiet.allocation_id}
    assert found[busy.allocation_id].at == NOW
    assert found[quiet.allocation_id].cpu_seconds < 0.5
    assert found[quiet.allocation_id].memory_bytes < 40 * MIB


def test_the_work_of_ended_children_stays_counted(sessions) -> None:
    flag = sessions.folder / "go"
    work = f"/usr/bin/python3 -c 'import time\nwhile time.process_time() < 0.4: pass'; touch {flag}; exec sleep 600"
    session = sessions.shell(work)
    until(flag.exists, seconds=60)
    found = SessionProcesses(spool=sessions.spool).measure([session.allocation_id], NOW)
    assert found[session.allocation_id].cpu_seconds >= 0.3


def test_a_session_that_ended_says_nothing(sessions) -> None:
    session = sessions.shell("true")
    sessions.wait(session.allocation_id)
    assert SessionProcesses(spool=sessions.spool).measure([session.allocation_id], NOW) == {}


@pytest.mark.parametrize(
    ("files", "cpu_seconds", "memory_bytes"),
    [
        ({"cpu.stat": "usage_usec 2500000\nuser_usec 1\n", "memory.current": "900\n", "memory.stat": "anon 5\ninactive_file 300\n"}, 2.5, 600),
        ({"cpuacct.usage": "2500000000\n", "memory.usage_in_bytes": "900\n", "memory.stat": "inactive_file 1\ntotal_inactive_file 100\n"}, 2.5, 800),
        ({"cpu.stat": "nr_periods 0\n", "memory.current": "damaged\n"}, None, None),
        ({}, None, None),
    ],
)
def test_control_groups_of_both_versions(tmp_path: Path, files, cpu_seconds, memory_bytes) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert _group_cpu_seconds([tmp_path / "other", tmp_path]) == cpu_seconds
    assert _group_memory_bytes([tmp_path / "other", tmp_path]) == memory_bytes
