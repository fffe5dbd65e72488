"""One hub, proxy and platform for all tests of this folder."""

from __future__ import annotations

import subprocess

import pytest

from tests.api.place import EXTRA_CONFIG, Place
from tests.support.hub import real_hub


@pytest.fixture(scope="session")
def standing_place():
    with real_hub(extra_config=EXTRA_CONFIG, groups={"vision": ["user1"], "finance": ["user8"]}) as hub:
        place = Place(hub)
        try:
            place.start()
            yield place
        finally:
            if place.process is not None:
                assert place.stop() == 0


@pytest.fixture(scope="module")
def place(standing_place):
    """The one place; a module begins and ends with no session, in whatever order the modules run."""
    standing_place.stop_everything()
    yield standing_place
    standing_place.stop_everything()


@pytest.fixture(scope="module")
def kept(place):
    """The place with a keeper beside it."""
    place.start_keeper()
    yield place
    place.stop_everything()
    place.stop_keeper()


@pytest.fixture
def full(kept):
    """Every GPU is taken, by user5 and user6."""
    kept.stop_everything()
    kept.holders = [kept.launch(user, gpus=2).json() for user in ("user5", "user6")]
    for holder in kept.holders:
        kept.wait_state(holder["user"], holder["id"], "active")
    yield kept
    kept.stop_everything()


@pytest.fixture
def typed(place):
    """Run a command as typed, to its end."""

    def run(*words: str, user: str | None = "user1", **environment: str):
        command, variables = place.typed(*words, user=user, **environment)
        return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120, check=False)

    return run
