"""Eight processes that issue at once, and die, leave no number out and give none twice."""

from __future__ import annotations

import subprocess
import sys

from sqlalchemy import select

from aiplatform_hub.domain.invoices import State
from aiplatform_hub.storage.invoice_tables import invoice_numbers
from tests.support.issue_race import CENTRES, DIES_AT, prepared


def test_eight_processes_and_kill_9_leave_no_gap_and_no_double(database_url: str, tmp_path) -> None:
    office = prepared(database_url, tmp_path)
    done = subprocess.run([sys.executable, "-m", "tests.support.issue_race", database_url, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    left = office.invoices.latest({"state": "draft"}, limit=100)
    assert len(left) >= len(DIES_AT), "what was killed is a draft still"
    raced = office.invoices.latest({"state": "issued"}, limit=100)
    assert sorted(int(invoice.number.rpartition("-")[2]) for invoice in raced) == list(range(1, len(raced) + 1))
    assert len(raced) + len(left) == len(CENTRES)
    for invoice in raced:
        assert [message.event for message in office.invoices.hand_overs(invoice.id)] == ["issued"]
    office.invoices.issue([draft.id for draft in left], by="bea")
    found = office.invoices.latest({}, limit=100)
    assert {invoice.state for invoice in found} == {State.ISSUED}
    assert sorted(invoice.number for invoice in found) == [f"UE-2026-{number:05}" for number in range(1, len(CENTRES) + 1)]
    with office.database.read() as connection:
        assert connection.execute(select(invoice_numbers.c.last)).scalars().all() == [len(CENTRES)]
    office.database.close()
