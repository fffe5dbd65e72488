"""The chain notices every change of a closed interval."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from domain_values import interval

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.ledger import GENESIS_HASH, canonical, chain_hash, chained
from aiplatform_hub.domain.usage import UsageInterval

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOSED = interval(START, START + timedelta(hours=1), end_cause=EndCause.EXITED)

CHANGES = {
    "id": UUID(int=1),
    "allocation_id": UUID(int=1),
    "user_id": 2,
    "user_name": "bob",
    "project": "nlp",
    "cost_centre": "other",
    "environment_template": "jupyterlab",
    "gpus": 2,
    "gpu_type": "l4",
    "memory_bytes": 1,
    "cpu_cores": 2,
    "started_at": START + timedelta(microseconds=1),
    "ended_at": START + timedelta(hours=1, microseconds=1),
    "end_cause": EndCause.LOST,
    "estimated": True,
    "sequence": 2,
}


@pytest.mark.parametrize("name", CHANGES)
def test_hash_covers_every_lasting_value(name):
    first = chained(CLOSED, sequence=1, previous_hash="")
    assert chain_hash(replace(first, **{name: CHANGES[name]}), "") != first.hash


def test_no_value_of_an_interval_is_forgotten():
    """A new field must be covered by the hash, or stand here with its reason: these are the chain itself, or meaningless once closed."""
    assert {field.name for field in fields(UsageInterval)} - set(CHANGES) == {"last_seen_at", "previous_hash", "hash"}


def test_hash_covers_the_row_before():
    one = chained(CLOSED, sequence=1, previous_hash="")
    two = chained(CLOSED, sequence=2, previous_hash=one.hash)
    assert two.previous_hash == one.hash
    assert two.hash != chained(CLOSED, sequence=2, previous_hash="f" * 64).hash


def test_first_row_continues_zeros():
    assert chain_hash(CLOSED, "") == chain_hash(CLOSED, GENESIS_HASH)


def test_chaining_again_gives_the_same():
    first = chained(CLOSED, sequence=1, previous_hash="")
    assert chained(first, sequence=1, previous_hash="") == first


def test_bytes_are_canonical():
    """These bytes must never change: ledgers written with them are verified with them."""
    assert canonical(chained(CLOSED, sequence=1, previous_hash="")) == (
        b'{"allocation_id":"00000000-0000-0000-0000-000000000008","cost_centre":"lab","cpu_cores":1,"end_cause":"exited","ended_at":1772370000000000,'
        b'"environment_template":"pytorch","estimated":false,"gpu_type":"h100","gpus":1,"id":"00000000-0000-0000-0000-000000000007",'
        b'"memory_bytes":4294967296,"project":"vision","sequence":1,"started_at":1772366400000000,"user_id":1,"user_name":"alice"}'
    )


def test_open_interval_is_not_chained():
    with pytest.raises(ValueError, match="open interval"):
        chained(interval(START, None), sequence=1, previous_hash="")
