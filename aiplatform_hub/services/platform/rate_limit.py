"""Token buckets: how often one person may call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiplatform_hub.errors import RateLimitedError, Reason


@dataclass(frozen=True, slots=True)
class Allowance:
    """A bucket's size, and how fast it refills."""

    per_minute: int
    burst: int


READS = "reads"
LAUNCHES = "launches"
CHANGES = "changes"
DEFAULT_REQUESTS_PER_MINUTE = 120


def allowances_of(requests_per_minute: int) -> dict[str, Allowance]:
    """Return the allowances: so many reads, half as many changes, a quarter as many launches."""
    shares = {READS: 1, CHANGES: 2, LAUNCHES: 4}
    amounts = {kind: max(1, requests_per_minute // share) for kind, share in shares.items()}
    return {kind: Allowance(per_minute=amount, burst=amount) for kind, amount in amounts.items()}


MAX_BUCKETS = 10_000


@dataclass(slots=True)
class Bucket:
    """What is left, at an instant of the monotonic clock."""

    tokens: float
    at_seconds: float


@dataclass(slots=True, kw_only=True)
class RateLimiter:
    """Counts requests per caller and kind. Used by one thread only, the event loop's."""

    allowances: Mapping[str, Allowance] = field(default_factory=lambda: allowances_of(DEFAULT_REQUESTS_PER_MINUTE))
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)

    def check(self, key: str, method: str, path: str) -> None:
        """Take one token of the caller's bucket for this kind of request.

        Raises
        ------
        RateLimitedError
            With ``Retry-After``, when the bucket is empty.
        """
        kind = kind_of(method, path)
        allowance = self.allowances[kind]
        rate = allowance.per_minute / 60
        now = self.clock()
        bucket = self._buckets.get((key, kind))
        tokens = float(allowance.burst) if bucket is None else min(allowance.burst, bucket.tokens + (now - bucket.at_seconds) * rate)
        if tokens < 1:
            wait = math.ceil((1 - tokens) / rate)
            message = f"More than {allowance.per_minute} {kind} a minute. Wait {wait} s."
            raise RateLimitedError(message, reasons=(Reason("rate_limited", message, limit=str(allowance.per_minute)),), retry_after_seconds=wait)
        self._buckets.pop((key, kind), None)
        self._forget_oldest()
        self._buckets[key, kind] = Bucket(tokens - 1, now)

    def _forget_oldest(self) -> None:
        """Keep memory bounded: whoever was away longest starts with a full bucket again."""
        while len(self._buckets) >= MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]


def kind_of(method: str, path: str) -> str:
    """Return which allowance a request uses."""
    if method in {"GET", "HEAD"}:
        return READS
    return LAUNCHES if method == "POST" and path.endswith(("/allocations", "/launch")) else CHANGES
