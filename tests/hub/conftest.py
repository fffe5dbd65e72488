"""One real hub for a module; every test begins and ends with nothing running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.hub import ADMIN, USERS, RealHub, real_hub, wait_for


@pytest.fixture(scope="module")
def shared_hub() -> Iterator[RealHub]:
    with real_hub() as hub:
        yield hub


@pytest.fixture
def hub(shared_hub: RealHub) -> Iterator[RealHub]:
    yield shared_hub
    stop_everything(shared_hub)


def stop_everything(hub: RealHub) -> None:
    for user in (*USERS, ADMIN):
        for name, server in hub.api("GET", f"users/{user}").json()["servers"].items():
            if not server["stopped"]:
                hub.stop_server(user, name)
    wait_for(lambda: not hub.open_allocations(), "every allocation has ended")
