"""Runway: on which day a budget is spent if people go on as they did. Pure.

The sum of what ``D`` coming days cost is taken to be as uncertain as the last ``n`` days say, with mean ``m`` and variance ``v`` of a day: it is near
``D m``, with the variance ``D v + D² v / n`` (the days vary, and so few of them tell the mean only so well). What is left, ``L``, is spent after ``L / m``
days; the ends of the range are the two ``D`` with ``(L - D m)² = z² (D v + D² v / n)``, for the 10 % and the 90 % of a normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

DAYS = 14
"""So many days that are over are looked at: each weekday comes twice."""
FEWEST_DAYS = 3
"""From so many days on, the first with any spending and those after it, something is said."""
FURTHEST = timedelta(days=3650)
"""What lasts for longer is not dated."""
_Z = Decimal("1.2816")
"""Quantile of 90 % of the normal distribution."""
_PLACES = 40


@dataclass(frozen=True, slots=True)
class Runway:
    """When a budget is spent. Instants are aware UTC; None where it lasts until the end of its period, or for ten years."""

    spent_at: datetime | None
    earliest: datetime | None
    """With 10 % it is spent before."""
    latest: datetime | None
    """With 90 % it is spent before."""


def runway(daily_micros: Sequence[int], left_micros: int, now: datetime, ends_at: datetime | None) -> Runway | None:
    """Return the forecast; None where too few days are known to tell.

    Parameters
    ----------
    daily_micros
        What was spent on each of the last days that are over, the oldest first. Days before the first spending tell nothing and are left out.
    left_micros
        The limit less what was used.
    ends_at
        Exclusive end of the period; None for one without an end.
    """
    if left_micros <= 0:
        return Runway(now, now, now)
    first = next((index for index, spent in enumerate(daily_micros) if spent), len(daily_micros))
    days = daily_micros[first:]
    if len(days) < FEWEST_DAYS:
        return None
    return Runway(*(_instant(each, now, ends_at) for each in _days_left(days, left_micros)))


def _days_left(days: Sequence[int], left_micros: int) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return after how many days it is spent: probably, at the earliest, at the latest; None for never."""
    with localcontext() as context:
        context.prec = _PLACES
        left, number = Decimal(left_micros), len(days)
        mean = Decimal(sum(days)) / number
        variance = sum(((day - mean) ** 2 for day in days), Decimal(0)) / (number - 1)
        spread = _Z * _Z * variance
        # a D² - b D + c = 0
        a, b, c = mean * mean - spread / number, 2 * left * mean + spread, left * left
        root = max(Decimal(0), b * b - 4 * a * c).sqrt()
        return left / mean, 2 * c / (b + root), (b + root) / (2 * a) if a > 0 else None


def _instant(days: Decimal | None, now: datetime, ends_at: datetime | None) -> datetime | None:
    if days is None or days > FURTHEST.days:
        return None
    at = now + timedelta(seconds=int(days * 86_400))
    return None if ends_at is not None and at >= ends_at else at
