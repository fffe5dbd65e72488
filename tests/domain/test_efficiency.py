"""What is said of a session's use of its GPUs: nothing that was not seen, and never fewer GPUs than it needed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.activity import SAMPLE_PERIOD
from aiplatform_hub.domain.efficiency import SHORTEST, GpuUse, efficiency
from aiplatform_hub.domain.units import GIB

SIX_HOURS = timedelta(hours=6, minutes=10)


def use(busy: int, *, gpus: int = 2, memory_gib: float = 1, known: timedelta = SIX_HOURS, percent: float = 23) -> GpuUse:
    return GpuUse(int(known / SAMPLE_PERIOD * gpus), percent, busy, round(memory_gib * GIB))


@pytest.mark.parametrize(
    ("busy", "memory_gib", "gpus", "needed"),
    [
        (1, 1, 2, 1),
        (2, 1, 2, 2),
        (0, 1, 2, 0),
        (0, 150, 2, 0),
        (1, 80, 2, 1),
        (1, 80.5, 2, 2),
        (1, 200, 2, 2),
        (1, 100, 4, 2),
        (3, 100, 4, 3),
        (0, 0, 1, 0),
        (1, 0, 1, 1),
    ],
)
def test_as_many_would_have_done_as_were_busy_at_once_or_held_its_memory(busy: int, memory_gib: float, gpus: int, needed: int) -> None:
    found = efficiency(use(busy, gpus=gpus, memory_gib=memory_gib), gpus=gpus, ran=SIX_HOURS, gpu_memory_bytes=80 * GIB)
    assert found is not None
    assert (found.gpus_needed, found.busy_percent, found.known) == (needed, 23, SIX_HOURS)
    assert found.could_have_been_smaller == (needed < gpus)


@pytest.mark.parametrize(
    ("known", "ran", "needed"),
    [
        (SIX_HOURS * 0.8, SIX_HOURS, 1),
        (SIX_HOURS * 0.79, SIX_HOURS, None),
        (timedelta(), SIX_HOURS, None),
        (SHORTEST, SHORTEST, 1),
        (SHORTEST - SAMPLE_PERIOD, SHORTEST - SAMPLE_PERIOD, None),
    ],
)
def test_what_is_not_known_is_not_judged(known: timedelta, ran: timedelta, needed: int | None) -> None:
    found = efficiency(use(1, known=known), gpus=2, ran=ran, gpu_memory_bytes=80 * GIB)
    assert found is not None
    assert found.gpus_needed == needed


def test_memory_that_nobody_knows_keeps_the_count_back() -> None:
    by_busy = {busy: efficiency(use(busy), gpus=2, ran=SIX_HOURS, gpu_memory_bytes=None) for busy in (0, 1, 2)}
    assert {busy: found and found.gpus_needed for busy, found in by_busy.items()} == {0: 0, 1: None, 2: 2}


def test_nothing_is_said_where_nobody_looked_or_there_was_no_gpu() -> None:
    blind = efficiency(None, gpus=2, ran=SIX_HOURS, gpu_memory_bytes=1)
    assert blind is not None
    assert (blind.busy_percent, blind.gpus_needed, blind.known) == (None, None, timedelta())
    assert efficiency(use(1), gpus=0, ran=SIX_HOURS, gpu_memory_bytes=1) is None
    assert efficiency(use(1), gpus=1, ran=timedelta(), gpu_memory_bytes=1) is None


@given(busy=st.integers(0, 8), gpus=st.integers(1, 8), memory=st.integers(0, 2000), samples=st.integers(0, 10**6), minutes=st.integers(1, 10**4))
def test_never_more_than_it_had_nor_fewer_than_were_busy(busy: int, gpus: int, memory: int, samples: int, minutes: int) -> None:
    ran = timedelta(minutes=minutes)
    found = efficiency(GpuUse(samples, 50, min(busy, gpus), memory * GIB), gpus=gpus, ran=ran, gpu_memory_bytes=80 * GIB)
    assert found is not None
    assert timedelta() <= found.known <= ran
    assert found.gpus_needed is None or min(busy, gpus) <= found.gpus_needed <= gpus
