"""A session's page over its life: its time as a picture, charts with the same as a table, and what is said of it at the end."""

from __future__ import annotations

import re
import sqlite3
from datetime import timedelta

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.release_support import age, run
from tests.browser.test_every_page import findings, overflow

ASPECTS = ((360, "dark"), (1280, "light"))
HOURS = 3
MINUTE = 60_000_000
"""Microseconds."""


def fill(visitor: Visitor, name: str) -> None:
    """Give a session a past: its first GPU is busy two hours and then idle, the second never is."""
    age(visitor, name, timedelta(hours=HOURS))
    with sqlite3.connect(visitor.trial.folder / "data" / "aiplatform.sqlite", timeout=30) as connection:
        found = connection.execute("SELECT id, devices, started_at FROM allocations WHERE server_name = ? AND state = 'active'", (name,))
        id_, devices, started_at = found.fetchone()
        first = (started_at // MINUTE + 1) * MINUTE
        gpus, sessions = [], []
        for minute in range(HOURS * 60):
            is_busy, at = minute < 120, first + minute * MINUTE
            for number, device in enumerate(re.findall(r'"([^"]+)"', devices)):
                percent = 60 + minute % 30 if is_busy and number == 0 else 0
                gpus.append((id_, at, device, 4, percent, percent, (6 if number == 0 else 1) * 2**30))
            sessions.append((id_, at, 1.5 if is_busy else 0.1, (1 + minute // 60) * 2**30))
        connection.executemany("INSERT OR REPLACE INTO gpu_minutes VALUES (?, ?, ?, ?, ?, ?, ?)", gpus)
        connection.executemany("INSERT OR REPLACE INTO session_minutes VALUES (?, ?, ?, ?)", sessions)
        back = HOURS * 60 * MINUTE
        earlier = (
            "UPDATE allocations SET requested_at = requested_at - ?1, held_at = held_at - ?1, starting_at = starting_at - ?1, ready_at = ready_at - ?1 WHERE id = ?2",
            "UPDATE allocation_events SET at = at - ?1 WHERE allocation_id = ?2",
            "UPDATE decisions SET at = at - ?1 WHERE allocation_id = ?2",
            "UPDATE usage_intervals SET started_at = started_at - ?1 WHERE allocation_id = ?2",
        )
        for statement in earlier:
            connection.execute(statement, (back, id_))
        connection.execute("DELETE FROM activity_intervals WHERE allocation_id = ?", (id_,))
        spans = [(id_, "used", first, first + 120 * MINUTE, first + 120 * MINUTE), (id_, "idle", first + 120 * MINUTE, first + 180 * MINUTE, None)]
        insert = "INSERT INTO activity_intervals (allocation_id, activity, started_at, last_seen_at, ended_at, samples) VALUES (?, ?, ?, ?, ?, 9)"
        connection.executemany(insert, [(id_, activity, start, seen, end) for id_, activity, start, seen, end in spans])


def faults_of(page: Page, address: str, state: str) -> dict[str, list[str]]:
    """Return what is wrong with a page in each size and theme."""
    faults = {}
    for width, theme in ASPECTS:
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(address)
        page.wait_for_timeout(200)
        for summary in page.locator("#live summary").all():
            summary.click()
        faults[f"{state} {width} {theme}"] = [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]
    page.set_viewport_size({"width": 1280, "height": 800})
    return {name: found for name, found in faults.items() if found}


def test_a_sessions_page_tells_its_life(visitor: Visitor) -> None:
    owner = run(visitor, "researcher", 2, "long")
    owner.goto("/services/platform/home")
    session = owner.locator("[data-state=running] h3 a").first.get_attribute("href") or ""
    fill(visitor, "long")
    owner.goto(session)
    expect(owner.get_by_role("img", name=re.compile(r"Its time\. .*GPUs used: 2.h; GPUs idle: "))).to_be_visible()
    expect(owner.get_by_text(re.compile(r"Its GPUs (have been|were) idle"))).to_be_visible()
    for name in (r"GPU \d.*, Use: .*mean .*, most 89.%", r"GPU \d.*, Memory: 6.GiB", "Cores busy: ", "Processor and memory, Memory: "):
        expect(owner.get_by_role("img", name=re.compile(name)).first).to_be_visible()
    fold = owner.get_by_text("The same as a table")
    fold.focus()
    owner.keyboard.press("Enter")
    expect(owner.get_by_role("region", name="Use over time")).to_be_visible()
    owner.evaluate("document.getElementById('series-table').dataset.isOld = 'yes'; document.body.dispatchEvent(new Event('live'))")
    expect(owner.locator("#series-table:not([data-is-old])")).to_have_count(1)
    expect(owner.get_by_role("region", name="Use over time")).to_be_visible()
    assert faults_of(owner, session, "running") == {}

    owner.goto(f"{session}/stop")
    owner.click("main form button")
    owner.goto(session)
    expect(owner.get_by_text(re.compile(r"GPUs busy 2\d.% of 3.h.* 1.GPU would have done\."))).to_be_visible()
    assert faults_of(owner, session, "ended") == {}
    owner.goto(session)
    owner.click("#smaller")
    expect(owner.locator("[type=radio][name=gpus][value='1']")).to_be_checked()

    plain = visitor.open("researcher", has_scripts=False)
    plain.goto(session)
    plain.get_by_text("The same as a table").click()
    expect(plain.get_by_role("region", name="Use over time")).to_be_visible()
