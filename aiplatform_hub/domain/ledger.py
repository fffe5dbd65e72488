"""The chain of the ledger: each closed interval carries the hash of the one that closed before it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from aiplatform_hub.domain.units import to_microseconds
from aiplatform_hub.domain.usage import UsageInterval


def chain_hash(interval: UsageInterval, *, sequence: int, previous_hash: str) -> str:
    """Return the SHA-256, in hexadecimal, of a closed interval at its place in the chain.

    Every value that a report depends on goes in; the last proof of life does not, since the end replaces it.

    Raises
    ------
    ValueError
        If the interval is open.
    """
    if interval.ended_at is None or interval.end_cause is None:
        raise ValueError("an open interval has no place in the chain")
    values = [
        previous_hash,
        sequence,
        str(interval.id),
        str(interval.allocation_id),
        interval.user_id,
        interval.user_name,
        interval.project,
        interval.cost_centre,
        interval.environment_template,
        interval.gpus,
        interval.gpu_type,
        interval.memory_bytes,
        interval.cpu_cores,
        to_microseconds(interval.started_at),
        to_microseconds(interval.ended_at),
        interval.end_cause.value,
        interval.estimated,
    ]
    return hashlib.sha256(json.dumps(values, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def chained(interval: UsageInterval, *, sequence: int, previous_hash: str) -> UsageInterval:
    """Return a closed interval at its place in the chain.

    Parameters
    ----------
    interval
        With its end and cause.
    sequence
        Its position, from 1.
    previous_hash
        Hash of the row before; empty for the first.
    """
    hash_ = chain_hash(interval, sequence=sequence, previous_hash=previous_hash)
    return replace(interval, sequence=sequence, previous_hash=previous_hash, hash=hash_)
