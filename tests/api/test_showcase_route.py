"""The page of building blocks is for who makes pages."""

from __future__ import annotations

import requests


def status_of(place, name: str) -> int:
    headers = {"Authorization": f"Bearer {place.hub.tokens['user1']}"}
    return requests.get(f"{place.hub.url}/services/platform/{name}", headers=headers, timeout=30).status_code


def test_building_blocks_are_unknown_outside_a_demo(place) -> None:
    assert status_of(place, "components") == 200
    place.stop()
    try:
        place.start(is_demo=False)
        assert (status_of(place, "policy"), status_of(place, "components")) == (200, 404)
    finally:
        place.stop()
        place.start()
