"""Four people share four GPUs of one machine, and nobody reloads a page: warning, release, waiting, keeper and hub that die in between."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, expect

from aiplatform_hub.clients.identity import is_alive, send_signal
from aiplatform_hub.domain.allocations import EndCause
from tests.browser.release_support import RUNNING
from tests.support.earlier_sessions import SESSIONS, remember_sessions
from tests.support.four_people import BUSY, ESTIMATE, FIRST, PATIENCE, PEOPLE, FourPeople, patient
from tests.support.hub import wait_for
from tests.support.stack import Stack


@dataclass
class Scene(FourPeople):
    """The platform under ``aiplatform run``."""

    stack: Stack

    def use(self, percents: dict[str, int]) -> None:
        uses = {str(index): BUSY for index in range(self.stack.gpus)} | {d: percent for user, percent in percents.items() for d in self.of(user).devices}
        script = self.stack.settings.data_dir / "simulated-utilisation.json"
        script.with_suffix(".new").write_text(json.dumps({name: {"utilisation_percent": percent} for name, percent in uses.items()}))
        script.with_suffix(".new").replace(script)

    def kill(self, name: str) -> None:
        """Kill a program."""
        found = self.stack.program(name)
        assert found is not None
        send_signal(found, signal.SIGKILL)
        wait_for(lambda: not is_alive(found), f"{name} is dead")


@pytest.fixture
def scene(chromium: Browser) -> Iterator[Scene]:
    stack = Stack()
    try:
        stack.start()
        with patient(chromium):
            yield Scene(stack, chromium, stack.let_in(*PEOPLE), "Simulated GPU")
    finally:
        stack.close()


def test_four_people_share_four_gpus_through_a_release_and_two_crashes(scene: Scene) -> None:
    remember_sessions(scene.stack.factory, "simulated")
    for user in PEOPLE:
        scene.open(user)
    scene.use({})

    # Ana and Ben work.
    ben = [scene.run("ana", 2), scene.run("ben", 2)][1]

    # Cem waits for all GPUs, and Dan for one.
    cem = scene.choose("cem", 4)
    expect(cem.locator("label[for=gpus-4]")).to_contain_text("about")
    expect(cem.locator("#outcome")).to_contain_text("You would be next in line")
    card = scene.join("cem")
    expect(card).to_contain_text("Next in line")
    expect(card).to_contain_text("Waiting for 4 simulated GPUs: none is free")
    expect(card).to_contain_text(ESTIMATE)
    scene.pass_time("cem", FIRST)
    expect(card).to_contain_text("4 simulated GPUs are kept for it as they come free")
    expect(scene.choose("dan", 1).locator("#outcome")).to_contain_text("1 waits before you")
    card_of_dan = scene.join("dan")
    expect(card_of_dan).to_contain_text("2nd in line")
    expect(card_of_dan).to_contain_text("Waiting for 1 simulated GPU")

    # Ana's GPUs go idle. The keeper dies and comes back: she is warned as before, and does not answer.
    warning = scene.go_idle("ana")
    scene.kill("keeper")
    wait_for(lambda: scene.stack.program("keeper") is not None, lambda: f"the keeper is back: {scene.stack.log()}", PATIENCE)
    expect(warning).to_have_count(1)
    scene.let_warning_pass("ana")
    expect(ben.locator(RUNNING)).to_have_count(1)

    # Two GPUs are free, and kept for Cem.
    expect(card).to_contain_text("2 are free now")
    expect(card_of_dan).to_contain_text("2 are free, but starting now would delay a request that has waited longer")

    # The hub dies and comes back; Ben's session goes on.
    session = scene.of("ben")
    scene.kill("hub")
    assert "pid" in ben.request.get("/user/ben/trivial/api").text(), "it answers without the hub"
    wait_for(scene.stack.is_up, "the hub answers again", PATIENCE)
    assert scene.stack.record(scene.of("ben")).process == scene.stack.record(session).process
    expect(ben.locator("#offline")).to_be_hidden()

    # Ben stops, and Cem's session starts by itself.
    scene.stop("ben")
    expect(cem.locator(RUNNING)).to_contain_text("4 × Simulated GPU")
    expect(cem.locator("#news")).to_contain_text("is ready")
    expect(card_of_dan).to_contain_text("Next in line")
    scene.check_same_pages()

    assert len(set(scene.of("cem").devices)) == 4
    assert scene.ends("ana") == [(2, EndCause.IDLE, EndCause.IDLE)]
    assert scene.ends("ben") == [(2, EndCause.STOPPED_BY_USER, EndCause.STOPPED_BY_USER)]
    assert scene.leased_twice() == []
    assert scene.stack.factory.verifier.verify().rows == SESSIONS + 2
