"""Every page in every state, as data: a new page is one line here.

``test_looks.py`` brings a trial through the stages, looks at each page at two widths in light and dark,
and with ``--pictures`` writes what it sees to ``docs/pictures``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from playwright.sync_api import Page, expect

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.announcements import Draft, Level
from aiplatform_hub.factory import Factory
from tests.browser.billed_support import bill_last_month
from tests.browser.conftest import Trial, Visitor, stop_everything
from tests.browser.release_support import RUNNING, age, see_warning
from tests.browser.test_queue_pages import join
from tests.support.hub import wait_for

PLATFORM = "/services/platform/"
HOME = f"{PLATFORM}home"
LAUNCH = f"{PLATFORM}launch?environment_template=jupyterlab"
DAY = timedelta(days=1)
OVER_CAP = timedelta(hours=7)
"""So old a session goes to who waits, after a warning."""
NOBODY = None
PATIENCE = 120_000
"""Milliseconds that a start may take on a busy machine."""


@dataclass(frozen=True)
class Look:
    """A page in a state."""

    name: str
    """Of its pictures."""
    user: str | None
    address: str
    """With a server's name in braces for the id of its newest session."""
    act: Callable[[Page], None] | None = None
    """What its reader does before they look."""


@dataclass(frozen=True)
class Stage:
    """A state of the trial, and what is looked at in it."""

    arrange: Callable[[Visitor], None]
    looks: tuple[Look, ...]


def address_of(trial: Trial, look: Look) -> str:
    """Return the address of a page, with the ids of sessions and of the issued invoice filled in."""
    with sqlite3.connect(trial.folder / "data" / "aiplatform.sqlite", timeout=30) as connection:
        rows = connection.execute("SELECT server_name, id FROM allocations ORDER BY requested_at").fetchall()
        rows += connection.execute("SELECT 'invoice', id FROM invoices WHERE number IS NOT NULL").fetchall()
    return look.address.format_map({name: UUID(hex=id_) for name, id_ in rows if name})


def start(visitor: Visitor, user: str, gpus: int, name: str) -> None:
    """Let somebody run a session, without looking at it."""
    page = visitor.open(user)
    page.goto(f"{LAUNCH}&gpus={gpus}&server_name={name}")
    page.click("#start")
    page.wait_for_url("**/hub/spawn-pending/**", wait_until="commit", timeout=PATIENCE)
    page.goto(HOME)
    expect(page.locator(RUNNING)).to_have_count(1, timeout=PATIENCE)
    page.context.close()


def nothing(visitor: Visitor) -> None:
    """Nobody has started anything."""


def running(visitor: Visitor) -> None:
    """The researcher runs a session with two GPUs."""
    start(visitor, "researcher", 2, "train")


def waiting(visitor: Visitor) -> None:
    """One GPU is free and the student waits for two."""
    start(visitor, "admin", 1, "demo")
    join(visitor.open("student"), 2, "thesis")


def warned(visitor: Visitor) -> None:
    """The researcher's session is over its cap and somebody waits."""
    age(visitor, "train", OVER_CAP)
    see_warning(visitor, visitor.open("researcher"))


def over(visitor: Visitor) -> None:
    """The researcher has stopped, and the student's turn has come."""
    stop_everything(visitor.open("researcher"))
    expect(visitor.open("student").locator(RUNNING)).to_have_count(1, timeout=PATIENCE)


def billed(visitor: Visitor) -> None:
    """Last month is billed, and there are budgets and credits."""
    bill_last_month(visitor.trial.folder)


def announced(visitor: Visitor) -> None:
    """Admins tell everybody of a disk that is full and of a maintenance window, also those who have not logged in."""
    factory = Factory(Settings(data_dir=visitor.trial.folder / "data"))
    try:
        now = factory.clock()
        full = Draft(text="The disk of the home folders is full: remove what you do not need.", level=Level.CRITICAL, starts_at=now, ends_at=now + DAY)
        window = Draft(text="The cooling is repaired.", level=Level.INFO, starts_at=now + DAY, ends_at=now + 2 * DAY, is_maintenance=True)
        for draft in (full, window):
            factory.announcements.announce(draft, by="admin")
    finally:
        factory.close()
    page = visitor.open(NOBODY)
    page.goto("/hub/login")
    wait_for(lambda: page.reload() and page.locator(".ap-announcement").count() == 2, "the hub tells it", interval=1)
    page.context.close()


def ask_to_stop(page: Page) -> None:
    """Ask to stop what runs, up to the question."""
    page.locator("a[data-stop]").first.click()
    expect(page.locator("#confirm-dialog")).to_be_visible()


def lose_connection(page: Page) -> None:
    """Let the stream of events break off."""
    page.route("**/events?*", lambda route: route.abort())
    page.reload()
    expect(page.locator("#offline")).to_be_visible()


def log_in_wrongly(page: Page) -> None:
    """Type a wrong password."""
    page.fill("#username_input", "student")
    page.fill("#password_input", "wrong")
    page.click("#login_submit")
    expect(page.locator(".login_error, [role=alert]").first).to_be_visible()


def unfold(page: Page) -> None:
    """Open the advanced choices."""
    page.locator("#advanced > summary").click()


STAGES = (
    Stage(
        nothing,
        (
            Look("login", NOBODY, "/hub/login"),
            Look("login-refused", NOBODY, "/hub/login", log_in_wrongly),
            Look("home-first", "student", HOME),
            Look("launch-free", "student", f"{LAUNCH}&gpus=1"),
            Look("launch-over-limit", "student", f"{LAUNCH}&gpus=4"),
            Look("launch-advanced", "student", f"{LAUNCH}&gpus=1", unfold),
            Look("usage-nothing", "student", f"{PLATFORM}usage"),
            Look("policy", "student", f"{PLATFORM}policy"),
            Look("spawn", "student", "/hub/spawn"),
            Look("token", "student", "/hub/token"),
            Look("not-running", "student", "/user/student/thesis/"),
            Look("problem", "student", f"{PLATFORM}sessions/00000000-0000-0000-0000-000000000000"),
            Look("hub-not-found", "student", "/hub/no-such-page"),
            Look("settings", "student", f"{PLATFORM}settings"),
            Look("offline", "student", f"{PLATFORM}offline"),
            Look("admin-nothing", "admin", f"{PLATFORM}admin"),
            Look("admin-announcements", "admin", f"{PLATFORM}admin/announcements"),
            Look("admin-catalogue", "admin", f"{PLATFORM}admin/catalogue"),
            Look("components", "student", f"{PLATFORM}components"),
        ),
    ),
    Stage(
        running,
        (
            Look("home-running", "researcher", HOME),
            Look("home-asked-to-stop", "researcher", HOME, ask_to_stop),
            Look("home-offline", "researcher", HOME, lose_connection),
            Look("session-running", "researcher", f"{PLATFORM}sessions/{{train}}"),
            Look("stop", "researcher", f"{PLATFORM}sessions/{{train}}/stop"),
        ),
    ),
    Stage(
        waiting,
        (
            Look("home-waiting", "student", HOME),
            Look("session-waiting", "student", f"{PLATFORM}sessions/{{thesis}}"),
            Look("withdraw", "student", f"{PLATFORM}sessions/{{thesis}}/stop"),
            Look("launch-queue", "researcher", f"{LAUNCH}&gpus=2"),
            Look("admin-busy", "admin", f"{PLATFORM}admin"),
        ),
    ),
    Stage(
        warned,
        (
            Look("home-warned", "researcher", HOME),
            Look("session-warned", "researcher", f"{PLATFORM}sessions/{{train}}"),
            Look("policy-warned", "researcher", f"{PLATFORM}policy"),
        ),
    ),
    Stage(
        over,
        (
            Look("home-ended", "researcher", HOME),
            Look("session-ended", "researcher", f"{PLATFORM}sessions/{{train}}"),
            Look("usage", "researcher", f"{PLATFORM}usage"),
            Look("usage-told", "student", f"{PLATFORM}usage"),
            Look("home-turn-came", "student", HOME),
            Look("admin-people", "admin", f"{PLATFORM}admin/people"),
            Look("admin-person", "admin", f"{PLATFORM}admin/people/researcher"),
            Look("admin-projects", "admin", f"{PLATFORM}admin/projects"),
            Look("admin-efficiency", "admin", f"{PLATFORM}admin/efficiency"),
            Look("admin-health", "admin", f"{PLATFORM}admin/health"),
            Look("admin-audit", "admin", f"{PLATFORM}admin/audit"),
            Look("usage-everybody", "admin", f"{PLATFORM}usage?who=everybody&group_by=user"),
        ),
    ),
    Stage(
        billed,
        (
            Look("billing", "admin", f"{PLATFORM}billing"),
            Look("billing-invoice", "admin", f"{PLATFORM}billing/invoices/{{invoice}}"),
            Look("billing-line", "admin", f"{PLATFORM}billing/invoices/{{invoice}}/lines/2"),
            Look("billing-disputed", "admin", f"{PLATFORM}billing/invoices/{{invoice}}/lines/1"),
            Look("billing-session", "admin", f"{PLATFORM}billing/invoices/{{invoice}}/lines/1/sessions/{{day-22-ana}}"),
            Look("usage-last-month", "admin", f"{PLATFORM}usage?who=everybody&group_by=cost_centre&period=last-month"),
            Look("admin-budgets", "admin", f"{PLATFORM}admin/budgets"),
            Look("admin-credits", "admin", f"{PLATFORM}admin/credits"),
            Look("admin-chargeback", "admin", f"{PLATFORM}admin/chargeback"),
            Look("admin-prices", "admin", f"{PLATFORM}admin/prices"),
        ),
    ),
    Stage(announced, (Look("login-announced", NOBODY, "/hub/login"), Look("home-announced", "student", HOME))),
)
