"""Four people share four GPUs, and nobody reloads a page: warning, release, waiting, keeper and hub that die in between.

What takes minutes or hours is made to have begun earlier, in the rows that the keeper reads.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from aiplatform_hub.clients.identity import Identity, is_alive, send_signal
from aiplatform_hub.domain.allocations import Allocation, EndCause
from tests.browser.conftest import EXPECT_MILLISECONDS
from tests.browser.release_support import HOME, LAUNCH, RUNNING, WARNED
from tests.support.hub import wait_for
from tests.support.stack import Stack

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
EARLIER = (
    """UPDATE allocations SET requested_at = requested_at - :span, queued_at = queued_at - :span, confirmed_at = confirmed_at - :span,
    held_at = held_at - :span, starting_at = starting_at - :span, started_at = started_at - :span, ready_at = ready_at - :span,
    opened_at = opened_at - :span WHERE id = :id""",
    "UPDATE allocation_events SET at = at - :span WHERE allocation_id = :id",
    "UPDATE usage_intervals SET started_at = started_at - :span WHERE allocation_id = :id",
    "UPDATE activity_intervals SET started_at = started_at - :span WHERE allocation_id = :id",
    "UPDATE activity_intervals SET ended_at = ended_at - :span, last_seen_at = ended_at - :span WHERE allocation_id = :id AND ended_at IS NOT NULL",
)
"""Let what has happened to one allocation have happened earlier; what goes on still goes on."""
LEASED_TWICE = """
WITH lease AS (
    SELECT l.id, l.device_uuid AS device, a.held_at AS since, coalesce(l.released_at, 1 << 62) AS until
    FROM gpu_leases l JOIN allocations a ON a.id = l.allocation_id
)
SELECT x.device, x.id, y.id FROM lease x JOIN lease y USING (device) WHERE x.id < y.id AND x.since < y.until AND y.since < x.until
"""
ENDS = """
SELECT u.gpus, u.end_cause, a.end_cause FROM usage_intervals u JOIN allocations a ON a.id = u.allocation_id
WHERE u.user_name = ? ORDER BY u.started_at
"""


@dataclass
class Scene:
    """The platform and four browsers; each person's page shows Home."""

    stack: Stack
    browser: Browser
    passwords: dict[str, str]
    pages: dict[str, Page] = field(default_factory=dict)

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
        page.wait_for_url(f"**/user/{user}/**")
        page.goto(HOME)
        expect(page.locator(RUNNING)).to_contain_text(f"{gpus} × Simulated GPU")
        return self._stay(page)

    def join(self, user: str) -> Page:
        """Let a person who has chosen join the queue; return their Home."""
        page = self.pages[user]
        expect(page.locator("#start")).to_have_text("Join the queue")
        page.click("#start")
        page.wait_for_url(re.compile(r"/services/platform/home#environment-"))
        return self._stay(page)

    def _stay(self, page: Page) -> Page:
        """From now on the page moves by itself alone."""
        page.evaluate("window.isTheSamePage = true")
        return page

    def check_same_pages(self) -> None:
        """Check that no page was reloaded."""
        assert {user: page.evaluate("window.isTheSamePage") for user, page in self.pages.items()} == dict.fromkeys(PEOPLE, True)

    # What the GPUs do, and since when

    def of(self, user: str) -> Allocation:
        """Return what a person runs or waits for."""
        with self.stack.factory.database.read() as connection:
            live = self.stack.factory.allocations.live(connection)
        return next(a for a in (*live.open, *live.queued) if a.user_name == user)

    def use(self, percents: dict[str, int]) -> None:
        """Script what the GPUs of sessions do, by their users; those of nobody are busy too, as none is to be taken for idle."""
        uses = {str(index): BUSY for index in range(self.stack.gpus)} | {d: percent for user, percent in percents.items() for d in self.of(user).devices}
        script = self.stack.settings.data_dir / "simulated-utilisation.json"
        script.with_suffix(".new").write_text(json.dumps({name: {"utilisation_percent": percent} for name, percent in uses.items()}))
        script.with_suffix(".new").replace(script)

    def activity(self, user: str) -> str:
        """Return what the keeper says now of a person's GPUs."""
        found = self._rows("SELECT activity FROM activity_intervals WHERE ended_at IS NULL AND allocation_id = ?", self.of(user).id.hex)
        return str(found[0][0]) if found else ""

    def pass_time(self, user: str, by: timedelta) -> None:
        """Let all that has happened to a person's session have happened earlier; what goes on still goes on."""
        id_, span = self.of(user).id.hex, by // timedelta(microseconds=1)
        with self._write() as connection:
            for statement in EARLIER:
                connection.execute(statement, {"id": id_, "span": span})

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._database, timeout=30)) as connection, connection:
            yield connection

    def _rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self._database, timeout=30)) as connection:
            return connection.execute(statement, values).fetchall()

    @property
    def _database(self) -> Path:
        return self.stack.settings.data_dir / "aiplatform.sqlite"

    # What dies, and what is left

    def kill(self, name: str) -> Identity:
        """Kill a program; return its process."""
        found = self.stack.program(name)
        assert found is not None
        send_signal(found, signal.SIGKILL)
        wait_for(lambda: not is_alive(found), f"{name} is dead")
        return found

    def back(self, name: str) -> None:
        """Wait until a killed program runs again."""
        wait_for(lambda: self.stack.program(name) is not None, f"{name} is back: {self.stack.log()}", PATIENCE)

    def leased_twice(self) -> list[tuple[object, ...]]:
        """Return each GPU that two sessions have had at once."""
        return self._rows(LEASED_TWICE)

    def ends(self, user: str) -> list[tuple[object, ...]]:
        """Return of each session of a person what the ledger and its allocation say of its end."""
        return self._rows(ENDS, user)


@pytest.fixture
def scene(chromium: Browser) -> Iterator[Scene]:
    stack = Stack()
    expect.set_options(timeout=PATIENCE * 1000)
    try:
        stack.start()
        yield Scene(stack, chromium, stack.let_in(*PEOPLE))
    finally:
        for context in chromium.contexts:
            context.close()
        stack.close()
        expect.set_options(timeout=EXPECT_MILLISECONDS)


def test_four_people_share_four_gpus_through_a_release_and_two_crashes(scene: Scene) -> None:  # noqa: PLR0915  one scene, from the first login to the ledger
    for user in PEOPLE:
        scene.open(user)
    scene.use({})

    # Ana and Ben work.
    ana, ben = scene.run("ana", 2), scene.run("ben", 2)

    # Cem waits for all GPUs, and Dan for one.
    cem = scene.choose("cem", 4)
    expect(cem.locator("label[for=gpus-4]")).to_contain_text("queue, next in line")
    scene.join("cem")
    card = cem.locator(QUEUED)
    expect(card).to_contain_text("Next in line")
    expect(card).to_contain_text("Waiting for 4 simulated GPUs: none is free")
    expect(card).to_contain_text(re.compile(r"Nobody knows yet|About .*(min|h|day)"))
    scene.pass_time("cem", FIRST)
    expect(card).to_contain_text("4 simulated GPUs are kept for it as they come free")
    dan = scene.choose("dan", 1)
    expect(dan.locator("#outcome")).to_contain_text("1 waits before you")
    scene.join("dan")
    expect(dan.locator(QUEUED)).to_contain_text("2nd in line")
    expect(dan.locator(QUEUED)).to_contain_text("Waiting for 1 simulated GPU")

    # Ana has worked for a while, and her GPUs go idle: she is warned.
    wait_for(lambda: scene.activity("ana") == scene.activity("ben") == "used", "the keeper sees that both work", PATIENCE)
    scene.pass_time("ana", A_WHILE)
    scene.use({"ana": IDLE})
    wait_for(lambda: scene.activity("ana") == "idle", "the keeper sees that Ana's GPUs are idle", PATIENCE)
    scene.pass_time("ana", NEARLY_IDLE)
    warning = ana.locator(WARNED)
    expect(warning).to_contain_text("and somebody waits for them")
    expect(ana.locator("#news")).to_contain_text("Your GPUs have been idle for")
    expect(warning.get_by_role("button", name="Keep it")).to_be_enabled()
    first = warning.locator("[data-countdown]").inner_text()
    assert re.fullmatch(r"in \d min \d\d s|in \d+ s", first), first
    expect(warning.locator("[data-countdown]")).not_to_have_text(first)

    # The keeper dies and comes back; she is warned as before, and does not answer.
    scene.kill("keeper")
    scene.back("keeper")
    expect(warning).to_have_count(1)
    assert scene.of("ana").stop_cause is None
    scene.pass_time("ana", WARNING)
    expect(ana.locator(ENDED)).to_contain_text("Its GPUs were idle, and somebody waited for them")
    expect(ana.locator("#news")).to_contain_text("Its GPUs were idle, and somebody waited for them")
    expect(ana.locator(RUNNING)).to_have_count(0)
    expect(ben.locator(RUNNING)).to_have_count(1)

    # Two GPUs are free, and kept for Cem.
    expect(card).to_contain_text("2 are free now")
    expect(dan.locator(QUEUED)).to_contain_text("2 are free, but starting now would delay a request that has waited longer")

    # The hub dies and comes back; Ben's session goes on.
    session = scene.of("ben")
    scene.kill("hub")
    assert "pid" in ben.request.get("/user/ben/trivial/api").text(), "it answers without the hub"
    wait_for(scene.stack.is_up, "the hub answers again", PATIENCE)
    assert scene.stack.record(scene.of("ben")).process == scene.stack.record(session).process
    expect(ben.locator("#offline")).to_be_hidden()

    # Ben stops, and Cem's session starts by itself.
    ben.locator(RUNNING).get_by_role("link", name="Stop").click()
    ben.click("#confirm-yes")
    expect(ben.locator(ENDED)).to_contain_text("You stopped it")
    expect(cem.locator(RUNNING)).to_contain_text("4 × Simulated GPU")
    expect(cem.locator("#news")).to_contain_text("is ready")
    expect(dan.locator(QUEUED)).to_contain_text("Next in line")
    scene.check_same_pages()

    assert len(set(scene.of("cem").devices)) == 4
    assert scene.ends("ana") == [(2, EndCause.IDLE, EndCause.IDLE)]
    assert scene.ends("ben") == [(2, EndCause.STOPPED_BY_USER, EndCause.STOPPED_BY_USER)]
    assert scene.leased_twice() == []
    assert scene.stack.factory.verifier.verify().rows == 2
