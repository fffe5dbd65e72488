"""A hub looks for garbage seldom, and not through what it has read when it begins."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiplatform_hub import garbage
from aiplatform_hub.config import Settings
from aiplatform_hub.hub.process import HubProcess


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*usual)


def test_hub_leaves_out_what_stays_from_its_first_sign_of_life_on(tmp_path: Path) -> None:
    async def begin() -> None:
        HubProcess(Settings(data_dir=tmp_path)).start_heartbeat()

    asyncio.run(begin())
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == (garbage.ALLOCATIONS, garbage.YOUNG_LOOKS, garbage.MIDDLE_LOOKS)


def test_what_comes_later_is_looked_at() -> None:
    garbage.look_seldom()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() > 0
