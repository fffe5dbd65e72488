"""Four people share four GPUs that Kueue gives out on a real cluster, and nobody reloads a page.

Warning, release, waiting; keeper, hub and Kueue that die in between. In a cluster nobody sees yet what a GPU does, so what
idles is scripted; what follows from it is the platform's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from aiplatform_hub.config import QueueBackend
from aiplatform_hub.domain.allocations import EndCause
from tests.browser.release_support import RUNNING
from tests.cluster.kueue_installation import keeper_account, shipped_queues, workloads
from tests.cluster.machinery.kueue import set_manager
from tests.cluster.platform_stack import ClusterStack
from tests.cluster.scripted_samples import ScriptedSamples
from tests.support.earlier_sessions import SESSIONS, remember_sessions
from tests.support.four_people import BUSY, ESTIMATE, FIRST, PEOPLE, FourPeople, patient
from tests.support.hub import PASSWORD, wait_for

pytestmark = [pytest.mark.own_cluster, pytest.mark.timeout(900)]  # Kueue is installed and killed; a busy machine takes its time
AWAY = "Kueue does not answer. Running sessions go on"


@dataclass
class Scene(FourPeople):
    """The platform on a cluster."""

    stack: ClusterStack
    cluster: Any = None
    samples: ScriptedSamples | None = None

    def use(self, percents: dict[str, int]) -> None:
        assert self.samples is not None
        self.samples.say({device: percent for user, percent in percents.items() for device in self.of(user).devices})

    @contextmanager
    def kueue_away(self) -> Iterator[None]:
        """Delete Kueue's pod, and let it come back after the block."""
        set_manager(self.cluster, is_there=False)
        try:
            yield
        finally:
            set_manager(self.cluster, is_there=True)

    def works(self) -> set[str]:
        """Return for whom there is a Workload."""
        return {self.stack.find(id_).user_name for id_ in workloads(self.cluster, self.stack.namespace)}

    def pod(self, user: str) -> str:
        """Return which pod a person's session runs in."""
        return str(self.stack.pods()[self.of(user).id]["metadata"]["uid"])


@pytest.fixture
def scene(kueue: Any, make_stack: Any, chromium: Browser, tmp_path: Path) -> Iterator[Scene]:
    with keeper_account(kueue, "four-people", tmp_path) as account:
        stack = make_stack(people=PEOPLE, queue_backend=QueueBackend.KUEUE, kubeconfigs={"keeper": account.kubeconfig})
        samples = ScriptedSamples(stack.factory, BUSY)
        with shipped_queues(kueue, stack.namespace), patient(chromium):
            yield Scene(stack, chromium, dict.fromkeys(PEOPLE, PASSWORD), "NVIDIA A100", cluster=kueue, samples=samples)
            samples.close()
            stack.kill("keeper")
            kueue.kubectl("delete", "workloads", "--all", "-n", stack.namespace)


def test_four_people_share_four_gpus_of_kueue_through_a_release_and_three_crashes(scene: Scene) -> None:
    remember_sessions(scene.stack.factory, "a100")
    for user in PEOPLE:
        scene.open(user)

    # Ana and Ben work.
    ben = [scene.run("ana", 2), scene.run("ben", 2)][1]
    pod = scene.pod("ben")

    # Cem waits for all GPUs, and Dan for one.
    cem = scene.choose("cem", 4)
    expect(cem.locator("label[for=gpus-4]")).to_contain_text("about")
    expect(cem.locator("#outcome")).to_contain_text("You would be next in line")
    card = scene.join("cem")
    expect(card).to_contain_text("Next in line")
    expect(card).to_contain_text("Waiting for 4 a100 GPUs of Kueue's quota: none is free")
    expect(card).to_contain_text(ESTIMATE)
    scene.pass_time("cem", FIRST)
    expect(scene.choose("dan", 1).locator("#outcome")).to_contain_text("1 waits before you")
    card_of_dan = scene.join("dan")
    expect(card_of_dan).to_contain_text(ESTIMATE)
    expect(card_of_dan).to_contain_text("2nd in line")
    expect(card_of_dan).to_contain_text("Waiting for 1 a100 GPU")
    assert scene.works() == set(PEOPLE)

    # Ana's GPUs go idle. The keeper dies and comes back: she is warned as before, and does not answer.
    warning = scene.go_idle("ana")
    scene.stack.kill("keeper")
    scene.stack.bring_back("keeper")
    expect(warning).to_have_count(1)
    scene.let_warning_pass("ana")
    expect(ben.locator(RUNNING)).to_have_count(1)

    # Two GPUs are free, and kept for Cem.
    expect(card).to_contain_text("2 are free")
    expect(card_of_dan).to_contain_text("2 are free, but Kueue serves the request before it first, and lets nobody pass")

    # Kueue's pod is deleted: both are told, and nobody loses a place.
    with scene.kueue_away():
        expect(card).to_contain_text(AWAY)
        expect(card_of_dan).to_contain_text(AWAY)
        assert "pid" in ben.request.get("/user/ben/trivial/").text(), "Ben's session goes on"
    expect(card).to_contain_text("2 are free")
    expect(card_of_dan).not_to_contain_text(AWAY)

    # The hub dies and comes back; Ben's session goes on.
    scene.stack.kill("hub")
    assert "pid" in ben.request.get("/user/ben/trivial/").text(), "it answers without the hub"
    scene.stack.bring_back("hub")
    expect(ben.locator("#offline")).to_be_hidden()
    assert scene.pod("ben") == pod

    # Ben stops, and Cem's session starts by itself.
    scene.stop("ben")
    expect(cem.locator(RUNNING)).to_contain_text("4 × NVIDIA A100")
    expect(cem.locator("#news")).to_contain_text("is ready")
    expect(card_of_dan).to_contain_text("Next in line")
    scene.check_same_pages()

    assert len(set(scene.of("cem").devices)) == 4
    assert scene.ends("ana") == [(2, EndCause.IDLE, EndCause.IDLE)]
    assert scene.ends("ben") == [(2, EndCause.STOPPED_BY_USER, EndCause.STOPPED_BY_USER)]
    assert scene.leased_twice() == []
    assert scene.stack.factory.verifier.verify().rows == SESSIONS + 2
    wait_for(lambda: scene.works() == {"cem", "dan"}, lambda: f"a Workload for each that is open: {scene.works()}")
