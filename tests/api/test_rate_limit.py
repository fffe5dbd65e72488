"""Token buckets."""

from __future__ import annotations

import pytest

from aiplatform_hub.errors import RateLimitedError
from aiplatform_hub.services.platform.rate_limit import MAX_BUCKETS, RateLimiter, allowances_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limiter(per_minute: int = 120) -> tuple[RateLimiter, Clock]:
    clock = Clock()
    return RateLimiter(allowances=allowances_of(per_minute), clock=clock), clock


def test_the_allowance_is_kept_and_refills():
    limits, clock = limiter(120)
    for _ in range(120):
        limits.check("user:a", "GET", "/x")
    with pytest.raises(RateLimitedError) as refused:
        limits.check("user:a", "GET", "/x")
    assert refused.value.retry_after_seconds == 1
    clock.now += refused.value.retry_after_seconds
    limits.check("user:a", "GET", "/x")


def test_callers_and_kinds_do_not_share_an_allowance():
    limits, _ = limiter(4)
    limits.check("user:a", "POST", "/api/v1/allocations")
    with pytest.raises(RateLimitedError):
        limits.check("user:a", "POST", "/api/v1/allocations")
    limits.check("user:a", "GET", "/api/v1/allocations")
    limits.check("user:a", "DELETE", "/api/v1/allocations/1")
    limits.check("user:b", "POST", "/api/v1/allocations")


def test_memory_is_bounded():
    limits, _ = limiter()
    for number in range(MAX_BUCKETS + 10):
        limits.check(f"address:{number}", "GET", "/x")
    assert len(limits._buckets) == MAX_BUCKETS


def test_the_defaults_are_120_reads_and_30_launches_a_minute():
    allowances = allowances_of(120)
    assert (allowances["reads"].per_minute, allowances["launches"].per_minute) == (120, 30)
