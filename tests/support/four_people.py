"""Four people in four browsers share four GPUs, and nobody reloads a page; wherever the platform runs.

What takes minutes or hours is made to have begun earlier, in the rows that the keeper reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import text

from aiplatform_hub.domain.activity import Activity
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.factory import Factory
from tests.browser.conftest import EXPECT_MILLISECONDS
from tests.browser.release_support import HOME, LAUNCH, RUNNING, WARNED
from tests.support.hub import wait_for

QUEUED = "[data-state=queued]"
ENDED = "[data-state=ended]"
PEOPLE = ("ana", "ben", "cem", "dan")
PATIENCE = 60
"""Longest wait for one thing, in seconds."""
BUSY, IDLE = 90, 0
"""Utilisation of a GPU, in percent."""
A_WHILE = timedelta(minutes=40)
"""More than the time in which nothing takes a session's GPUs."""
NEARLY_IDLE = timedelta(minutes=9)
"""So long idle is warned of; after ten minutes GPUs may go."""
WARNING = timedelta(minutes=5)
"""How long its owner is warned."""
FIRST = timedelta(hours=3, minutes=30)
"""Age at which a request for the whole machine comes first, and nobody may delay it any more."""
ESTIMATE = re.compile(r"About \d+\s(min|h).*80\s%\sbetween|About \d+\s(min|h).*90\s%\swithin")
"""How long a wait is told to be once sessions have told how long they last."""
RELEASED = "Its GPUs were idle, and somebody waited for them"
EARLIER = tuple(
    map(
        text,
        (
            """UPDATE allocations SET requested_at = requested_at - :span, queued_at = queued_at - :span, confirmed_at = confirmed_at - :span,
            held_at = held_at - :span, starting_at = starting_at - :span, started_at = started_at - :span, ready_at = ready_at - :span,
            opened_at = opened_at - :span WHERE id = :id""",
            "UPDATE allocation_events SET at = at - :span WHERE allocation_id = :id",
            "UPDATE usage_intervals SET started_at = started_at - :span WHERE allocation_id = :id",
            "UPDATE activity_intervals SET started_at = started_at - :span WHERE allocation_id = :id",
            """UPDATE activity_intervals SET ended_at = ended_at - :span, last_seen_at = ended_at - :span
            WHERE allocation_id = :id AND ended_at IS NOT NULL""",
        ),
    )
)
"""Let what has happened to one allocation have happened earlier; what goes on still goes on."""
LEASED_TWICE = """
WITH lease AS (
    SELECT l.id, l.device_uuid AS device, a.held_at AS since, coalesce(l.released_at, 4611686018427387904) AS until
    FROM gpu_leases l JOIN allocations a ON a.id = l.allocation_id
)
SELECT x.device, x.id, y.id FROM lease x JOIN lease y USING (device) WHERE x.id < y.id AND x.since < y.until AND y.since < x.until
"""
ENDS = """
SELECT u.gpus, u.end_cause, a.end_cause FROM usage_intervals u JOIN allocations a ON a.id = u.allocation_id
WHERE u.user_name = :user ORDER BY u.started_at
"""


class Installation(Protocol):
    """The platform, wherever it runs."""

    @property
    def url(self) -> str:
        """Its public address."""

    @property
    def factory(self) -> Factory:
        """Its rows."""

    def is_up(self) -> bool:
        """Whether hub and platform service answer through the proxy."""


@dataclass
class FourPeople:
    """Four browsers; each person's page shows Home."""

    stack: Installation
    browser: Browser
    passwords: dict[str, str]
    gpu: str
    """What pages call a GPU of this installation."""
    pages: dict[str, Page] = field(default_factory=dict)

    # What people do

    def open(self, user: str) -> Page:
        """Log a person in, in a browser of their own."""
        page = self.pages[user] = self.browser.new_context(base_url=self.stack.url, viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto("/hub/login")
        page.fill("#username_input", user)
        page.fill("#password_input", self.passwords[user])
        page.click("#login_submit")
        page.wait_for_url("**/services/platform/home")
        return page

    def choose(self, user: str, gpus: int) -> Page:
        """Choose so many GPUs on the Launch page."""
        page = self.pages[user]
        page.goto(LAUNCH.replace("jupyterlab", "trivial"))
        page.check(f"#gpus-{gpus}")
        expect(page).to_have_url(re.compile(f"gpus={gpus}"))
        return page

    def run(self, user: str, gpus: int) -> Page:
        """Let a person run a session; return their Home."""
        page = self.choose(user, gpus)
        page.click("#start")
        page.wait_for_url(re.compile(rf"/user/{user}/|/services/platform/home#environment-"))
        page.goto(HOME)
        expect(page.locator(RUNNING)).to_contain_text(f"{gpus} × {self.gpu}")
        return self._stay(page)

    def join(self, user: str) -> Locator:
        """Let a person who has chosen join the queue; return the card of their request on Home."""
        page = self.pages[user]
        expect(page.locator("#start")).to_have_text("Join the queue")
        page.click("#start")
        page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
        return self._stay(page).locator(QUEUED)

    def stop(self, user: str) -> None:
        """Let a person stop their session, and see that it has ended."""
        page = self.pages[user]
        page.locator(RUNNING).get_by_role("link", name="Stop").click()
        page.click("#confirm-yes")
        expect(page.locator(ENDED)).to_contain_text("You stopped it")

    def _stay(self, page: Page) -> Page:
        """From now on the page moves by itself alone."""
        page.evaluate("window.isTheSamePage = true")
        return page

    def check_same_pages(self) -> None:
        """Check that no page was reloaded."""
        assert {user: page.evaluate("window.isTheSamePage") for user, page in self.pages.items()} == dict.fromkeys(PEOPLE, True)

    # What happens to them

    def use(self, percents: dict[str, int]) -> None:
        """Script what the GPUs of sessions do, by their users; those of nobody are busy too, as none is to be taken for idle."""
        raise NotImplementedError

    def go_idle(self, user: str) -> Locator:
        """Let a session that has worked for a while go idle, until its owner is warned; return the warning, which counts down."""
        wait_for(lambda: {self.activity(each) for each in ("ana", "ben")} == {Activity.USED}, "both are seen to work", PATIENCE)
        self.pass_time(user, A_WHILE)
        self.use({user: IDLE})
        wait_for(lambda: self.activity(user) is Activity.IDLE, f"the GPUs of {user} are seen to be idle", PATIENCE)
        self.pass_time(user, NEARLY_IDLE)
        page = self.pages[user]
        warning = page.locator(WARNED)
        expect(warning).to_contain_text("and somebody waits for them")
        expect(page.locator("#news")).to_contain_text("Your GPUs have been idle for")
        expect(warning.get_by_role("button", name="Keep it")).to_be_enabled()
        wait_for(partial(_counts_down, warning.locator("[data-countdown]"), set()), "the warning counts down", PATIENCE)
        return warning

    def let_warning_pass(self, user: str) -> None:
        """Let the time of a warning pass without an answer; the session ends."""
        page = self.pages[user]
        assert self.of(user).stop_cause is None
        self.pass_time(user, WARNING)
        expect(page.locator(ENDED)).to_contain_text(RELEASED)
        expect(page.locator("#news")).to_contain_text(RELEASED)
        expect(page.locator(RUNNING)).to_have_count(0)

    def pass_time(self, user: str, by: timedelta) -> None:
        """Let all that has happened to a person's session have happened earlier; what goes on still goes on."""
        values = {"id": self.of(user).id.hex, "span": by // timedelta(microseconds=1)}
        with self.stack.factory.database.write() as connection:
            for statement in EARLIER:
                connection.execute(statement, values)

    # What is so

    def of(self, user: str) -> Allocation:
        """Return what a person runs or waits for."""
        with self.stack.factory.database.read() as connection:
            live = self.stack.factory.allocations.live(connection)
        return next(a for a in (*live.open, *live.queued) if a.user_name == user)

    def activity(self, user: str) -> Activity | None:
        """Return what is known now of a person's GPUs."""
        with self.stack.factory.database.read() as connection:
            found = self.stack.factory.activity.open(connection).get(self.of(user).id)
        return None if found is None else found.interval.activity

    def leased_twice(self) -> list[tuple[Any, ...]]:
        """Return each GPU that two sessions have had at once."""
        return self._rows(LEASED_TWICE)

    def ends(self, user: str) -> list[tuple[Any, ...]]:
        """Return of each session of a person what the ledger and its allocation say of its end."""
        return self._rows(ENDS, user=user)

    def _rows(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        with self.stack.factory.database.read() as connection:
            return [tuple(row) for row in connection.execute(text(statement), values)]


@contextmanager
def patient(browser: Browser) -> Iterator[None]:
    """Wait for everything as long as a busy machine may need; close all pages at the end."""
    expect.set_options(timeout=PATIENCE * 1000)
    try:
        yield
    finally:
        for context in browser.contexts:
            context.close()
        expect.set_options(timeout=EXPECT_MILLISECONDS)


def _counts_down(countdown: Locator, seen: set[str]) -> bool:
    """Whether two times were seen; it is empty for a moment whenever its card is refreshed."""
    text = countdown.inner_text()
    if text:
        assert re.fullmatch(r"in \d min \d\d s|in \d+ s", text), text
        seen.add(text)
    return len(seen) > 1
