"""A session of the trial as it is after a long time: nobody waits half an hour for a test."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import timedelta

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor

HOME = "/services/platform/home"
LAUNCH = "/services/platform/launch?environment_template=jupyterlab"
RUNNING = "[data-state=running]"
WARNED = f"{RUNNING}[data-release^=warn]"


def run(visitor: Visitor, user: str, gpus: int, name: str) -> Page:
    """Let somebody run a session; return their page, which shows JupyterLab."""
    page = visitor.open(user)
    page.goto(f"{LAUNCH}&gpus={gpus}&server_name={name}")
    page.click("#start")
    page.wait_for_url(f"**/user/{user}/{name}/**", timeout=60_000)
    return page


def _execute(visitor: Visitor, statement: str, *values: object) -> None:
    path = visitor.trial.folder / "data" / "aiplatform.sqlite"
    with sqlite3.connect(path, timeout=30) as connection:
        connection.execute(statement, values)


def age(visitor: Visitor, name: str, by: timedelta) -> None:
    """Let a session have begun earlier."""
    _execute(visitor, "UPDATE allocations SET started_at = started_at - ? WHERE server_name = ? AND state = 'active'", _microseconds(by), name)


def let_idle(visitor: Visitor, name: str, since: timedelta) -> None:
    """Let the GPUs of a session be idle for so long until now."""
    (visitor.trial.folder / "data" / "simulated-utilisation.json").write_text(json.dumps({str(i): {"utilisation_percent": 0} for i in range(4)}))
    now = time.time_ns() // 1000
    _execute(visitor, "DELETE FROM activity_intervals WHERE allocation_id IN (SELECT id FROM allocations WHERE server_name = ? AND state = 'active')", name)
    insert = (
        "INSERT INTO activity_intervals (allocation_id, activity, started_at, last_seen_at, samples) "
        "SELECT id, 'idle', ?, ?, 20 FROM allocations WHERE server_name = ? AND state = 'active'"
    )
    _execute(visitor, insert, now - _microseconds(since), now, name)


def still_idle(visitor: Visitor) -> None:
    """Say again that what is idle still is; where nothing samples GPUs, nobody else says so."""
    _execute(visitor, "UPDATE activity_intervals SET last_seen_at = ? WHERE ended_at IS NULL", time.time_ns() // 1000)


def see_warning(visitor: Visitor, page: Page) -> None:
    """Wait until the page warns, without a reload."""
    for _ in range(6):
        still_idle(visitor)
        try:
            expect(page.locator(WARNED)).to_have_count(1, timeout=10_000)
        except AssertionError:
            continue
        return
    expect(page.locator(WARNED)).to_have_count(1)


def _microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
