"""One hub, proxy and platform for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.api.place import EXTRA_CONFIG, Place
from tests.support.hub import real_hub


@pytest.fixture(scope="session")
def place():
    with real_hub(extra_config=EXTRA_CONFIG, groups={"vision": ["user1"]}) as hub:
        place = Place(hub)
        try:
            place.start()
            yield place
        finally:
            if place.process is not None:
                assert place.stop() == 0
