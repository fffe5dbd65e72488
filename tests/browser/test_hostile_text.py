"""Text of people is never markup: counted in a real browser whose pages may run inline scripts, which ours never do."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import TimeoutError as TooSlowError

from aiplatform_hub.web.rendering import STATIC_DIR
from tests.browser.conftest import Trial, Visitor, started_trial, stop_everything
from tests.browser.looks import STAGES
from tests.browser.release_support import run

PAYLOADS = (
    '" onfocus=ran(10) autofocus tabindex=0 x="',
    "<script>ran(0)</script>",
    '"><script>ran(1)</script>',
    "'><script>ran(2)</script>",
    "<img src=x onerror=ran(3)>",
    "\"><img src=x onerror='ran(4)'>",
    '\'><img src=x onerror="ran(5)">',
    "<svg onload=ran(6)></svg>",
    "<details open ontoggle=ran(7)>",
    "<iframe srcdoc='<script>parent.ran(8)</script>'></iframe>",
    "</title></textarea></select></option></pre></noscript></details><img src=x onerror=ran(9)>",
    "<video><source onerror=ran(11)></video>",
    "<p hx-get=/ hx-trigger=load hx-on::config-request=ran(12)></p>",
    "<a id=hostile href=javascript:ran(13)>go</a>",
    "<style>@keyframes k{}</style><b onanimationstart=ran(14) style='animation:k 1s'>",
)
"""Each runs where it is not escaped; the first test shows that."""
HOSTILE = "x".join(PAYLOADS)
PLATFORM = "/services/platform/"
PARAMETERS = {
    f"{PLATFORM}launch": ("environment_template", "gpus", "gpu_type", "memory_gib", "cpu_cores", "project", "server_name", "max_hours", "if_full"),
    f"{PLATFORM}usage": ("period", "group_by", "first_day", "last_day", "who", "project"),
    "/hub/login": ("next", "error"),
    "/hub/spawn": ("environment_template", "gpus", "next"),
}
PATHS = ("/services/platform/", "/services/platform/sessions/", "/hub/", "/user/", "/hub/user/student/")
"""What follows these is no address."""


@pytest.fixture(scope="module")
def trial() -> Iterator[Trial]:
    """A trial whose rows are spoilt afterwards."""
    with started_trial() as started:
        yield started


class Victim:
    """A person's window in which inline scripts may run; counts which payloads did."""

    def __init__(self, browser: Browser, page: Page, url: str) -> None:
        self.ran: list[str] = []
        context = browser.new_context(storage_state=page.context.storage_state(), base_url=url, bypass_csp=True, viewport={"width": 1280, "height": 800})
        context.expose_function("ran", lambda number: self.ran.append(f"{number} on {self.page.url}"))
        self.page = context.new_page()
        self.page.set_default_timeout(45_000)

    def look(self, address: str) -> None:
        """Open a page and give its scripts time: what a payload starts is started when the page is loaded."""
        self.page.goto(address)
        self.give_time()

    def give_time(self) -> None:
        """Let two frames pass, and click on what would run at a click."""
        self.page.wait_for_load_state()
        for link in self.page.locator("#hostile").all():
            link.click()
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def victim(visitor: Visitor, chromium: Browser, user: str) -> Victim:
    return Victim(chromium, visitor.open(user), visitor.trial.url)


def database(visitor: Visitor) -> Path:
    return visitor.trial.folder / "data" / "aiplatform.sqlite"


def test_each_payload_runs_where_it_is_not_escaped(chromium: Browser) -> None:
    page = chromium.new_context().new_page()
    ran: set[int] = set()
    page.expose_function("ran", lambda number: ran.add(number))  # noqa: PLW0108 - Playwright marks the function
    htmx = (STATIC_DIR / "vendor" / "htmx-2.0.11.min.js").read_text()
    for place in (f"<p>{HOSTILE}</p>", f'<input value="{HOSTILE}">', f"<input value='{HOSTILE}'>"):
        page.set_content(f"<!doctype html><script>{htmx}</script>{place}", wait_until="commit")
        if page.locator("#hostile").count():
            page.locator("#hostile").click(force=True)
        page.wait_for_timeout(500)
    assert sorted(ran) == list(range(len(PAYLOADS)))


def test_what_an_address_says_is_text(visitor: Visitor, chromium: Browser) -> None:
    person = victim(visitor, chromium, "student")
    for address, names in PARAMETERS.items():
        for name in names:
            person.look(f"{address}?{name}={quote(HOSTILE)}")
    for path in PATHS:
        person.look(path + quote(HOSTILE.replace("/", ""), safe=""))
    assert person.ran == []


FIELDS = """() => [...document.forms].flatMap((form, at) => [...new Set([...form.elements].map((field) => field.name))]
  .filter((name) => name && name !== "_xsrf").map((name) => [at, name, new URL(form.action).pathname]))"""
FILL = """([at, name, value]) => {
  const form = document.forms[at];
  for (const field of [...form.elements].filter((field) => field.name === name)) field.removeAttribute("name");
  form.noValidate = true;
  form.append(Object.assign(document.createElement("input"), { name, value }));
  for (const fold of form.querySelectorAll("details")) fold.open = true;
}"""


@pytest.mark.parametrize("user", [None, "student", "admin"])
def test_what_is_typed_is_text_with_and_without_scripts(visitor: Visitor, chromium: Browser, user: str | None) -> None:
    person = Victim(chromium, visitor.open(user), visitor.trial.url)
    done: set[tuple[str, str]] = set()
    unanswered: list[str] = []
    for address in dict.fromkeys(look.address for stage in STAGES for look in stage.looks if look.user == user and "{" not in look.address):
        person.page.goto(address)
        for at, name, action in person.page.evaluate(FIELDS):
            where = (re.sub(r"\d+|[0-9a-f-]{36}", "#", action), name)
            if where in done:
                continue
            done.add(where)
            for send in ("form => form.requestSubmit(form.querySelector('button:not([formmethod])'))", "form => HTMLFormElement.prototype.submit.call(form)"):
                person.page.goto(address)
                if person.page.locator("form").count() <= at:
                    continue
                person.page.evaluate(FILL, [at, name, HOSTILE])
                try:
                    with person.page.expect_response(lambda reply: "/events" not in reply.url, timeout=15_000):
                        person.page.evaluate(f"at => setTimeout(() => ({send})(document.forms[at]))", at)
                except TooSlowError:
                    unanswered.append(f"{address} {name} {send[:30]}")
                person.give_time()
    assert done
    assert unanswered == []
    assert person.ran == []


def test_what_is_stored_is_text_on_every_page(visitor: Visitor, chromium: Browser) -> None:
    run(visitor, "researcher", 1, "over")
    stop_everything(visitor.open("researcher"))
    run(visitor, "researcher", 1, "train")
    addresses = {user: spoilt_addresses(visitor, user) for user in ("researcher", "admin")}
    spoil(visitor)
    people = {user: victim(visitor, chromium, user) for user in addresses}
    seen = 0
    for user, person in people.items():
        for address in addresses[user]:
            person.look(address)
            seen += "ran(3)" in person.page.locator("body").inner_text()
        assert person.ran == []
    assert seen > 4, "pages show what is stored"
    visitor.users.clear()  # this trial's pages stop nothing any more; its end does


def spoilt_addresses(visitor: Visitor, user: str) -> list[str]:
    """Return every page of a person: those of the looks, and those of each session."""
    with sqlite3.connect(database(visitor)) as connection:
        sessions = [f"{PLATFORM}sessions/{UUID(hex=id_)}" for (id_,) in connection.execute("SELECT id FROM allocations")]
    pages = {look.address for stage in STAGES for look in stage.looks if look.user == user and "{" not in look.address}
    groups = [f"{PLATFORM}usage?group_by={group}" for group in ("project", "environment_template", "gpu_type")]
    return sorted({*pages, *groups, *sessions, f"{sessions[-1]}/stop", f"{PLATFORM}policy", f"{PLATFORM}launch"})


SPOILT = {
    "allocations": ("server_name", "environment_template", "gpu_type", "project", "cost_centre", "actor", "stop_requested_by"),
    "usage_intervals": ("environment_template", "project", "cost_centre", "gpu_type"),
    "allocation_events": ("actor",),
    "audit_events": ("actor", "action", "target", "outcome"),
    "grants": ("reason", "granted_by"),
    "policies": ("applied_by",),
    "gpu_devices": ("product_name",),
}
"""Columns whose text people or their programs choose, or might one day."""


def spoil(visitor: Visitor) -> None:
    """Put hostile text into the database and the logs, past every check."""
    with sqlite3.connect(database(visitor), timeout=30) as connection:
        for table, columns in SPOILT.items():
            connection.execute(f"UPDATE {table} SET " + ", ".join(f"{column} = ? || rowid" for column in columns), [f"{HOSTILE}{column}" for column in columns])  # noqa: S608
        connection.execute("UPDATE audit_events SET detail = ?", (json.dumps({HOSTILE: HOSTILE}),))
        for id_, reasons in connection.execute("SELECT rowid, reasons FROM decisions").fetchall():
            said = [{**reason, "message": HOSTILE} for reason in json.loads(reasons or "[]")]
            connection.execute("UPDATE decisions SET reasons = ? WHERE rowid = ?", (json.dumps(said), id_))
    for log in (visitor.trial.folder / "data" / "logs" / "sessions").glob("*.log"):
        log.write_text(f"{log.read_text()}{HOSTILE}\n")
