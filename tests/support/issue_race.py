"""Issues invoices from eight processes at once, some of which are killed in the middle: ``issue_race URL FOLDER``.

The program forks before it opens anything, so that eight processes start as quickly as one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

from aiplatform_hub.domain.catalog import CostCentre
from aiplatform_hub.errors import ConflictError
from aiplatform_hub.storage.database import Database
from tests.support.billing import CATALOG, NOVEMBER, Office

PROCESSES, EACH = 8, 3
CENTRES = {f"c{number:02}": CostCentre(f"c{number:02}", f"Centre {number}", legal_entity="university") for number in range((PROCESSES - 1) * EACH)}
PATIENCE = timedelta(seconds=60)
"""On a slow test machine a process may wait longer for the others than a real one would."""
DIES_AT = {0: 2, 1: 1, 3: 3}
"""Which processes are killed, and in which of their issues: after the number was taken, before the transaction commits."""


def office(url: str, folder: Path) -> Office:
    """Return who invoices many cost centres."""
    return Office(Database(url=url, lock_timeout=PATIENCE), folder, catalog=_catalog())


def _catalog():
    return type(CATALOG)({}, {}, {}, {}, CENTRES, CATALOG.rate_cards, legal_entities=CATALOG.legal_entities)


def prepared(url: str, folder: Path) -> Office:
    """Meter an hour for each cost centre and draft its invoice."""
    made = office(url, folder)
    for centre in CENTRES:
        made.used(centre, NOVEMBER, 1)
    made.invoices.draft("2026-11", by="bea")
    return made


def issue(process: int, url: str, folder: Path) -> None:
    """Issue one process's share; the last one wants what the one before it wants too."""
    mine = office(url, folder)
    share = min(process, PROCESSES - 2) * EACH
    drafts = mine.invoices.latest({"state": "draft"}, limit=100)
    names = sorted(CENTRES)[share : share + EACH]
    ids = [draft.id for draft in drafts if draft.cost_centre in names]
    put, count = mine.outbox.put, 0

    def put_or_die(*args):
        nonlocal count
        count += 1
        if count == DIES_AT.get(process):
            os.kill(os.getpid(), signal.SIGKILL)
        put(*args)

    mine.outbox.put = put_or_die
    with contextlib.suppress(ConflictError):
        mine.invoices.issue(ids, by=f"p{process}")


def main() -> None:
    """Fork, and wait for all."""
    url, folder = sys.argv[1], Path(sys.argv[2])
    children = []
    for process in range(PROCESSES):
        child = os.fork()
        if not child:
            issue(process, url, folder)
            os._exit(0)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert [number for number, end in enumerate(ends) if end == signal.SIGKILL] == sorted(DIES_AT), ends
    assert all(end in {0, signal.SIGKILL} for end in ends), ends


if __name__ == "__main__":
    main()
