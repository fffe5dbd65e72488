"""Memory of the session runners: RSS and PSS of each of 20 sessions.

Run ``python benchmarks/runner_memory.py [SESSIONS]``. PSS counts a page that n
processes share as 1/n of it, so the sum of PSS is what the runners cost together.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.clients.launcher import LaunchSpec, launch
from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import Spool

TARGET_MIB = 15


def kib(path: str, key: str) -> int:
    """Return one value of a file of ``/proc`` in KiB."""
    return next(int(line.split()[1]) for line in Path(path).read_text().splitlines() if line.startswith(key + ":"))


def main(sessions: int) -> int:
    """Start the sessions, print what their runners take, and end them."""
    with tempfile.TemporaryDirectory() as name:
        folder, ids = Path(name), [uuid4() for _ in range(sessions)]
        spool, cgroups = Spool(folder / "spool"), Cgroups.none("not measured here")
        try:
            rows = []
            for id_ in ids:
                spec = LaunchSpec(allocation_id=id_, spawner_id=1, user_id=1, argv=("/bin/sleep", "600"), env={}, cwd=folder, port=0, log_path=folder / "log")
                record = launch(spec, spool, cgroups=cgroups)
                assert record.runner is not None
                rows.append(record.runner.pid)
            figures = [(kib(f"/proc/{pid}/status", "VmRSS") / 1024, kib(f"/proc/{pid}/smaps_rollup", "Pss") / 1024) for pid in rows]
        finally:
            for id_ in ids:
                stop_session(spool, id_, 1)
    print("runner   RSS MiB   PSS MiB")
    for number, (rss, pss) in enumerate(figures, 1):
        print(f"{number:6}   {rss:7.2f}   {pss:7.2f}")
    worst = max(rss for rss, _ in figures)
    print(
        f"median RSS {statistics.median(rss for rss, _ in figures):.2f} MiB, highest {worst:.2f} MiB (target {TARGET_MIB}); PSS of all {sum(pss for _, pss in figures):.1f} MiB"
    )
    return 0 if worst <= TARGET_MIB else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
