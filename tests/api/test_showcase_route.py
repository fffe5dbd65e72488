"""The page of building blocks is for who makes pages."""

from __future__ import annotations

import requests


def test_building_blocks_are_unknown_outside_a_demo(place) -> None:
    headers = {"Authorization": f"Bearer {place.hub.tokens['user1']}"}
    prefix = f"{place.hub.url}/services/platform/"
    assert requests.get(f"{prefix}policy", headers=headers, timeout=30).status_code == 200
    assert requests.get(f"{prefix}components", headers=headers, timeout=30).status_code == 404
