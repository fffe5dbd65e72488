"""Cards, bars and dots of Home."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause
from aiplatform_hub.domain.limits import Limit, LimitUsage
from aiplatform_hub.web.view_models.environments import EnvironmentCard, Money, environment_card, gpu_row, quota_bar
from tests.web.samples import CATALOG, ENDED, NOW, PATHS, RUNNING, STARTING, STOPPING


def card(allocation: Allocation, cost: Money | None = None) -> EnvironmentCard:
    return environment_card(allocation, cost=cost, catalog=CATALOG, now=NOW, paths=PATHS)


@pytest.mark.parametrize(
    ("allocation", "state", "can_open", "can_stop", "can_repeat"),
    [
        (RUNNING, "running", True, True, False),
        (STARTING, "starting", False, True, False),
        (replace(STARTING, state=AllocationState.ACTIVE, started_at=NOW), "starting", False, True, False),
        (STOPPING, "stopping", False, False, False),
        (ENDED, "ended", False, False, True),
        (replace(ENDED, state=AllocationState.DENIED, end_cause=None), "ended", False, False, True),
        (replace(ENDED, state=AllocationState.EXPIRED, end_cause=EndCause.HOLD_EXPIRED, started_at=None), "ended", False, False, True),
    ],
)
def test_card_offers_what_can_be_done_in_its_state(allocation: Allocation, state: str, can_open: bool, can_stop: bool, can_repeat: bool) -> None:
    one = card(allocation)
    assert (one.state, bool(one.open_url), bool(one.stop_url), bool(one.again)) == (state, can_open, can_stop, can_repeat)


def test_running_card_says_what_since_when_and_how_much() -> None:
    facts = {fact.label: (fact.text, fact.at.iso if fact.at else "") for fact in card(RUNNING, Money(Decimal("6.2"), "EUR")).facts}
    assert facts["Uses"] == ("2 × NVIDIA H100, 16 GiB, 4 cores", "")
    assert facts["Since"] == ("(2 h 4 min)", "2026-11-12T11:56:00.000000Z")
    assert facts["Cost so far"] == ("6.20 EUR", "")
    assert facts["Project"] == ("Computer vision", "")


def test_ended_card_says_why_and_repeats_the_same_choice() -> None:
    one = card(ENDED)
    assert one.why.startswith("It ran out of memory")
    assert one.again == {"environment_template": "pytorch", "gpus": 2, "gpu_type": "h100", "memory_gib": 16, "cpu_cores": 4, "project": "vision"}
    assert one.again_url == "/services/platform/launch?environment_template=pytorch&gpus=2&gpu_type=h100&memory_gib=16&cpu_cores=4&project=vision"


def test_zero_gpus_stay_in_the_repeated_choice() -> None:
    cpu_only = replace(ENDED, request=replace(ENDED.request, gpus=0, gpu_type=None))
    assert card(cpu_only).again["gpus"] == 0


@pytest.mark.parametrize(
    ("waited", "started", "expected"),
    [(3, False, "Its program is being started (3 s)."), (5, True, "first answer (5 s)."), (90, True, "slower than usual")],
)
def test_starting_card_says_what_is_happening(waited: int, started: bool, expected: str) -> None:
    begun = NOW - timedelta(seconds=waited)
    allocation = replace(STARTING, starting_at=begun, started_at=begun if started else None)
    assert expected in card(allocation).why


def test_names_in_addresses_are_quoted() -> None:
    assert PATHS.server("a/b", "x y") == "/user/a%2Fb/x%20y/"
    assert PATHS.pending("ada", "") == "/hub/spawn-pending/ada"


@pytest.mark.parametrize(
    ("used", "text", "share", "is_full"),
    [(Decimal(0), "0 of 2", 0, False), (Decimal(1), "1 of 2", 50, False), (Decimal(3), "3 of 2", 100, True), (None, "limit 2", 0, False)],
)
def test_quota_bar_has_numbers_and_holders(used: Decimal | None, text: str, share: int, is_full: bool) -> None:
    limit = Limit("user", "ada", "gpus", Decimal(2), gpu_type="h100")
    bar = quota_bar(LimitUsage(limit, used, held_by=("train-1",)), CATALOG)
    assert (bar.label, bar.text, bar.percent, bar.is_full) == ("NVIDIA H100 GPUs", text, share, is_full)
    assert bar.note == ("Used by train-1" if used is not None else "What is used is not measured yet")


def test_windowed_quota_names_its_window() -> None:
    limit = Limit("user", "ada", "gpu_hours", Decimal(100), window_days=30)
    assert quota_bar(LimitUsage(limit, Decimal("7.5")), CATALOG).label == "GPU-hours in 30 days"


def test_gpu_row_counts_broken_ones() -> None:
    row = gpu_row("NVIDIA H100", free=1, held=2, unhealthy=1, is_simulated=True)
    assert (row.label, row.text) == ("NVIDIA H100 (simulated)", "1 of 4 free, 1 out of order")
    assert gpu_row("NVIDIA H100", free=2, held=2, unhealthy=0, is_simulated=False, startable=4, minutes_to_start=6).text == "2 of 4 free, 4 more in about 6 min"
    assert gpu_row("NVIDIA H100", free=0, held=0, unhealthy=0, is_simulated=False, startable=4).text == "0 of 0 free, 4 more"
    assert gpu_row("Simulated GPU", free=0, held=0, unhealthy=0, is_simulated=True).label == "Simulated GPU"
