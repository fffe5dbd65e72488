"""A decision waits for the one before it, also when that one is in another process and between reading and writing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.budgets import BudgetStore
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.decisions import DecisionStore
from aiplatform_hub.storage.devices import DeviceStore
from aiplatform_hub.storage.facts import FactStore
from tests.support.chain import Chain, person, want

PATIENCE = timedelta(seconds=20)
LOOK = 0.5
"""Seconds in which a decision that does not wait would long be through."""


class PausingStore(AllocationStore):
    """Stops between the reading and the writing of a decision until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.has_read, self.may_write = threading.Event(), threading.Event()

    def insert(self, *args: Any, **kwargs: Any) -> None:
        self.has_read.set()
        assert self.may_write.wait(PATIENCE.total_seconds())
        super().insert(*args, **kwargs)


@pytest.mark.parametrize("gpus", [0, 1])
def test_decision_waits_for_one_that_has_read_and_not_written(chain: Chain, database_url: str, gpus: int) -> None:
    for number in (1, 2):
        chain.hold(person(number, "vision"), request=want(0, project="vision"))  # the pool allows three environments
    store, other = PausingStore(), Database(url=database_url, lock_timeout=PATIENCE)
    paused = QuotaEnforcer(
        database=other,
        catalog=chain.catalog,
        allocations=store,
        decisions=DecisionStore(),
        devices=DeviceStore(),
        facts=FactStore(),
        audit=AuditStore(),
        budgets=BudgetStore(),
        cards=lambda: chain.catalog.rate_cards,
        clock=chain.clock,
    )
    patient = Chain(Database(url=database_url, lock_timeout=PATIENCE), chain.head_file, chain.clock)
    first_chain = Chain(other, chain.head_file, chain.clock)
    first_chain.enforcer = paused
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(first_chain.hold, person(3, "vision"), request=want(gpus, project="vision"))
        assert store.has_read.wait(PATIENCE.total_seconds())
        second = pool.submit(patient.hold, person(4, "vision"), request=want(gpus, project="vision"))
        with pytest.raises(TimeoutError):
            second.result(LOOK)
        store.may_write.set()
        assert first.result().is_open
        with pytest.raises(AIPlatformError) as refused:
            second.result()
    assert refused.value.code == "quota_in_use"
    assert len(chain.open()) == 3
    patient.database.close()
    other.close()
