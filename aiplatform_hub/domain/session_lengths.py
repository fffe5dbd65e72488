"""How long sessions last: what finished ones say about those that run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any

ENOUGH_SESSIONS = 8
"""Finished sessions, longer than the age in question, from which a distribution is believed."""

KEPT_SESSIONS = 300
"""How many of the latest sessions of a kind are remembered."""

DEFAULT_SECONDS = 4 * 3600.0
"""Length assumed while nothing is known."""


@dataclass(frozen=True, slots=True)
class SessionKind:
    """What is known of a session that tells its length."""

    user: str
    gpus: int
    environment_template: str = ""

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The distributions that tell about it, the most particular first."""
        return (
            ("user", self.user),
            ("environment_template", f"{self.environment_template} {self.gpus}"),
            ("gpus", str(self.gpus)),
            ("all", ""),
        )


def learned_seconds(held_seconds: float, busy_seconds: float | None, idle_after_seconds: float | None) -> float:
    """Return which length a finished session teaches: until it ended, or could have been taken back as idle.

    Parameters
    ----------
    held_seconds
        From its start to its end.
    busy_seconds
        From its start to the idleness in which it ended; None if it was busy to the end or nobody knows.
    idle_after_seconds
        Idleness after which it could have been taken; None if nothing takes idle sessions.
    """
    if busy_seconds is None or idle_after_seconds is None:
        return held_seconds
    return min(held_seconds, busy_seconds + idle_after_seconds)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The latest lengths of one distribution, in seconds."""

    in_turn: tuple[float, ...] = ()
    ascending: tuple[float, ...] = ()

    def with_length(self, seconds: float) -> _Sample:
        in_turn = (*self.in_turn, seconds)[-KEPT_SESSIONS:]
        return _Sample(in_turn, tuple(sorted(in_turn)))

    def longer_than(self, seconds: float) -> tuple[float, ...]:
        return self.ascending[bisect_right(self.ascending, seconds) :]


@dataclass(frozen=True, slots=True)
class SessionLengths:
    """Empirical lengths of finished sessions: of the person where enough are known, else of the template and GPU count, else of all.

    A length runs from the start to the end, or to the moment from which the session could be taken back as idle.
    """

    samples: Mapping[tuple[str, str], _Sample] = field(default_factory=lambda: MappingProxyType({}))

    def with_finished(self, kind: SessionKind, length_seconds: float) -> SessionLengths:
        """Return what is known after one more session has ended."""
        return SessionLengths({**self.samples, **{key: self.samples.get(key, _Sample()).with_length(length_seconds) for key in kind.keys}})

    def remaining_seconds(self, kind: SessionKind, age_seconds: float, quantile: float, cap_seconds: float | None = None) -> float:
        """Return a quantile of how much longer a session of some age will last, in seconds.

        Parameters
        ----------
        kind
            What is known of the session.
        age_seconds
            How long it has lasted; only sessions that lasted longer are looked at.
        quantile
            From 0 to 1; a uniform random number draws from the distribution.
        cap_seconds
            Length at which the session ends at the latest; None if there is none.
        """
        remaining = self._remaining(kind, age_seconds, quantile)
        return remaining if cap_seconds is None else max(0.0, min(remaining, cap_seconds - age_seconds))

    def strata(self, kind: SessionKind, age_seconds: float, count: int) -> tuple[tuple[float, ...], bool]:
        """Return the remaining time in the middle of so many equal strata, ascending, in seconds, and whether finished sessions tell it."""
        for key in kind.keys:
            longer = self.samples[key].longer_than(age_seconds) if key in self.samples else ()
            if len(longer) >= ENOUGH_SESSIONS:
                picked: tuple[float, ...] = _middles(len(longer), count)(longer)
                return (tuple([length - age_seconds for length in picked]) if age_seconds else picked), True
        spread = max(DEFAULT_SECONDS - age_seconds, age_seconds) * 2 / count
        return tuple((number + 0.5) * spread for number in range(count)), False

    def _remaining(self, kind: SessionKind, age_seconds: float, quantile: float) -> float:
        for key in kind.keys:
            longer = self.samples[key].longer_than(age_seconds) if key in self.samples else ()
            if len(longer) >= ENOUGH_SESSIONS:
                position = quantile * (len(longer) - 1)
                below = int(position)
                above = min(below + 1, len(longer) - 1)
                return longer[below] + (longer[above] - longer[below]) * (position - below) - age_seconds
        return max(DEFAULT_SECONDS - age_seconds, age_seconds) * quantile * 2


@lru_cache(maxsize=KEPT_SESSIONS)
def _middles(of: int, count: int) -> itemgetter[Any]:
    """Return what picks the middle of each of so many equal strata."""
    return itemgetter(*[(2 * number + 1) * of // (2 * count) for number in range(count)])
