"""The chain of closed usage intervals: each row's hash covers its values and the row before."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256

from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.domain.usage import UsageInterval

GENESIS_HASH = "0" * 64
"""What the first row continues."""


def canonical(interval: UsageInterval) -> bytes:
    """Return the bytes that a hash covers: sorted JSON of every lasting value, instants in microseconds since the epoch.

    Raises
    ------
    ValueError
        If the interval is open; only closed rows are chained.
    """
    if interval.ended_at is None:
        raise ValueError("an open interval is not chained")
    values = {
        "id": str(interval.id),
        "allocation_id": str(interval.allocation_id),
        "user_id": interval.user_id,
        "user_name": interval.user_name,
        "project": interval.project,
        "cost_centre": interval.cost_centre,
        "environment_template": interval.environment_template,
        "gpus": interval.gpus,
        "gpu_type": interval.gpu_type,
        "memory_bytes": interval.memory_bytes,
        "cpu_cores": interval.cpu_cores,
        "started_at": to_microseconds(interval.started_at),
        "ended_at": to_microseconds(interval.ended_at),
        "end_cause": None if interval.end_cause is None else interval.end_cause.value,
        "estimated": interval.estimated,
        "sequence": interval.sequence,
    }
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def chain_hash(interval: UsageInterval, previous_hash: str) -> str:
    """Return the hash of a closed interval that follows a hash; an empty one means it is the first.

    Raises
    ------
    ValueError
        If the interval is open.
    """
    return sha256((previous_hash or GENESIS_HASH).encode("ascii") + canonical(interval)).hexdigest()


def chained(interval: UsageInterval, *, sequence: int, previous_hash: str) -> UsageInterval:
    """Return the closed interval at its place in the chain.

    Parameters
    ----------
    interval
        A closed interval; what it says of its own place is replaced.
    sequence
        Its position, from 1.
    previous_hash
        Hash of the row before; empty for the first.

    Raises
    ------
    ValueError
        If the interval is open.
    """
    placed = replace(interval, sequence=sequence, previous_hash=previous_hash)
    return replace(placed, hash=chain_hash(placed, previous_hash))
