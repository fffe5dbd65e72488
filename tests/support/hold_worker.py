"""Takes part in a race for GPUs from a process of its own: ``hold_worker URL HEAD WORKER THREADS``."""

from __future__ import annotations

import contextlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from aiplatform_hub.errors import AIPlatformError, QuotaExceededError
from aiplatform_hub.storage.database import Database
from tests.support.chain import Chain, person, want

PATIENCE = timedelta(seconds=60)
"""On a slow test machine fifty decisions take longer than a real one may wait for its turn."""


def race(chain: Chain, worker: int, threads: int, users: int = 10) -> list[dict[str, object]]:
    """Hold one GPU from each thread, for users in turn, and return what each was answered."""

    def one(number: int) -> dict[str, object]:
        try:
            held = chain.hold(person(number % users + 1), f"s{worker}-{number}", want(1))
        except AIPlatformError as error:
            return {"refused": error.code, "message": error.message, "reasons": len(error.reasons)}
        return {"devices": list(held.devices)}

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, range(threads)))


def main() -> None:
    url, head, worker, threads = sys.argv[1:]
    chain = Chain(Database(url=url, lock_timeout=PATIENCE), Path(head))
    with contextlib.suppress(QuotaExceededError):  # the first statements of a process are slow
        chain.hold(person(99), f"warm-{worker}", want(9))
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(race(chain, int(worker), int(threads))), flush=True)


if __name__ == "__main__":
    main()
