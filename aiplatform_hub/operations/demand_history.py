"""What ended sessions say: who used how much, and how long sessions last. Kept up with the ledger's rows as they close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.fairshare import DecayedUsage, Person
from aiplatform_hub.domain.policy import SHIPPED, Policy
from aiplatform_hub.domain.queue_facts import EXPECTED_QUANTILE
from aiplatform_hub.domain.queueing import ExpectedLength, LengthKey, Outlook
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.storage.usage import ClosedUse, UsageStore

HALF_LIVES = 10
"""Use that is older counts less than a thousandth and is left out."""
LENGTHS_OF = 3000
"""So many of the latest sessions tell how long sessions last."""


class DemandHistory:
    """Follows the ledger. One object for one thread at a time.

    Parameters
    ----------
    policy
        Gives the policy that counts now; it is looked up at each :meth:`refresh`.
    """

    def __init__(self, *, usage: UsageStore, policy: Callable[[], Policy]) -> None:
        self._store = usage
        self._current = policy
        self._policy = SHIPPED
        self._sequence: int | None = None
        self._usage: dict[Person, DecayedUsage] = {}
        self._lengths = SessionLengths()
        self._expected: dict[LengthKey, ExpectedLength] = {}
        self._expected_of: tuple[SessionLengths, Policy] = (self._lengths, self._policy)

    @property
    def sequence(self) -> int:
        """The last row of the ledger that it knows; 0 before the first look."""
        return self._sequence or 0

    @property
    def policy(self) -> Policy:
        """The policy of the last :meth:`refresh`."""
        return self._policy

    @property
    def lengths(self) -> SessionLengths:
        """How long sessions last, as far as it knows."""
        return self._lengths

    def refresh(self, connection: Connection, now: datetime) -> None:
        """Take in what has closed since the last time; at first, and when the policy weighs use otherwise, what still counts."""
        before, self._policy = self._policy, self._current()
        if _weighing(before) != _weighing(self._policy):
            self._sequence, self._usage, self._lengths = None, {}, SessionLengths()
        if self._sequence is None:
            since = now - timedelta(seconds=HALF_LIVES * self._policy.half_life_seconds)
            head = self._store.head(connection).sequence
            rows = self._store.closed_since(connection, since)
            self._sequence = max([head, *(row.sequence for row in rows)])
        else:
            rows = self._store.closed_after(connection, self._sequence)
            self._sequence = max([self._sequence, *(row.sequence for row in rows)])
        for row in rows:
            self._add_use(row)
        for row in rows[-LENGTHS_OF:]:
            kind = SessionKind(row.user_name, row.gpus, row.environment_template)
            self._lengths = self._lengths.with_finished(kind, (row.ended_at - row.started_at).total_seconds())

    def _add_use(self, row: ClosedUse) -> None:
        """Add an interval to its owner's counter; intervals may close in any order of their ends."""
        if not row.gpus:
            return
        half_life = self._policy.half_life_seconds
        person, end = Person(row.project, row.user_name), row.ended_at.timestamp()
        rate = row.gpus * self._policy.gpu_type_weights.get(row.gpu_type or "", 1.0)
        added = DecayedUsage(0.0, row.started_at.timestamp(), rate).at(end, half_life)
        before = self._usage.get(person, DecayedUsage(0.0, end))
        at = max(end, before.at_seconds)
        self._usage[person] = DecayedUsage(before.at(at, half_life) + DecayedUsage(added, end).at(at, half_life), at)

    def outlook(self, now: datetime, opened: Iterable[Allocation], queued: Iterable[Allocation], blocked: frozenset[UUID]) -> Outlook:
        """Return what is known at an instant."""
        seconds = now.timestamp()
        lengths = {("", "", gpus): self._expect("", "", gpus) for gpus in self._gpu_counts()}
        for allocation in queued:
            request = allocation.request
            key = (allocation.user_name, request.environment_template, request.gpus)
            if key not in lengths:
                lengths[key] = self._expect(*key)
        return Outlook(
            at_seconds=seconds,
            usage={person: used.at(seconds, self._policy.half_life_seconds) for person, used in self._usage.items()},
            ends={a.id: self._end(a, seconds) for a in opened if a.request.gpus},
            lengths=lengths,
            blocked=blocked,
        )

    def _gpu_counts(self) -> list[int]:
        return sorted({int(name) for kind, name in self._lengths.samples if kind == "gpus"})

    def _expect(self, user: str, environment_template: str, gpus: int) -> ExpectedLength:
        """Return how long such a session may last; found once for as long as no other has ended."""
        lengths, policy = self._lengths, self._policy
        if self._expected_of[0] is not lengths or self._expected_of[1] is not policy:
            self._expected, self._expected_of = {}, (lengths, policy)
        key, kind = (user, environment_template, gpus), SessionKind(user, gpus, environment_template)
        if key not in self._expected:
            quantiles = (EXPECTED_QUANTILE, policy.backfill_quantile)
            self._expected[key] = ExpectedLength(*(lengths.remaining_seconds(kind, 0.0, quantile) for quantile in quantiles))
        return self._expected[key]

    def _end(self, allocation: Allocation, now_seconds: float) -> float:
        age = max(0.0, now_seconds - since_seconds(allocation))
        return now_seconds + self._lengths.remaining_seconds(kind_of(allocation), age, self._policy.reserve_quantile)


def _weighing(policy: Policy) -> tuple[object, ...]:
    """Return what the counters of use depend on."""
    return policy.half_life_seconds, dict(policy.gpu_type_weights)


def since_seconds(allocation: Allocation) -> float:
    """Return since when a session's age counts, in seconds of the epoch."""
    return (allocation.started_at or allocation.held_at or allocation.requested_at).timestamp()


def kind_of(allocation: Allocation) -> SessionKind:
    """Return what is known of a session that tells its length."""
    return SessionKind(allocation.user_name, allocation.request.gpus, allocation.request.environment_template)
