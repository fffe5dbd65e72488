"""The policy that the running queue follows: a document with versions, the same for every process within seconds."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock

from aiplatform_hub.catalog.policies import PolicyReading, read_policy_text
from aiplatform_hub.catalog.policy_words import PolicyChange, changes_between
from aiplatform_hub.catalog.problems import Problem, configuration_error
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.policy import SHIPPED, Policy
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Connection, Database, DatabaseAwayError
from aiplatform_hub.storage.policies import PolicyStore, StoredPolicy

LOOK_SECONDS = 1.0
"""How long a process believes what it knows before it looks again."""
MOST_BYTES = 64 * 1024
"""Longest document."""
_STEP = 20
"""Versions that are read at once in the search for one that can be read."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """What counts now."""

    policy: Policy = SHIPPED
    version: int = 0
    """0: what is shipped; nothing was applied."""
    applied_at: datetime | None = None
    """Aware UTC; None for what is shipped."""
    applied_by: str = ""
    document: str = ""
    newest_version: int = 0
    """The version that should count; another one where it cannot be read."""
    trouble: str = ""
    """Why an older version counts than the newest; empty where the newest does."""


@dataclass(frozen=True, slots=True)
class PolicyStep:
    """One version of the history."""

    version: int
    applied_at: datetime
    applied_by: str
    changes: tuple[PolicyChange, ...]
    """What it made different from the version before; empty where it cannot be read."""
    document: str
    """The YAML as it was given."""
    trouble: str = ""
    """Why this version of the platform cannot read it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a document that was right."""

    version: int
    """The version that counts now."""
    changes: tuple[PolicyChange, ...]
    is_stored: bool = True
    """False where nothing differs: then nothing was stored."""


class Policies:
    """Knows, checks and applies policies. Safe to use from several threads.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never jumps.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        policies: PolicyStore,
        catalog: Callable[[], Catalog],
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._policies = policies
        self._catalog = catalog
        self._audit = audit_trail
        self._clock = clock
        self._monotonic = monotonic
        self._looking = Lock()
        self._known: PolicyInForce | None = None
        self._looked_seconds = 0.0

    def current(self) -> Policy:
        """Return the policy that counts, at most :data:`LOOK_SECONDS` old; the last known one while the database is away.

        Raises
        ------
        ServiceUnavailableError
            If this process has not seen any yet and the database does not answer.
        """
        return self.in_force().policy

    def in_force(self) -> PolicyInForce:
        """Return the same with its version and what is wrong with it."""
        known = self._known
        if known is not None and (self._is_fresh() or not self._looking.acquire(blocking=False)):
            return known  # another thread looks already
        if known is None:
            self._looking.acquire()
        try:
            return self._look()
        finally:
            self._looking.release()

    def check(self, document: str, *, name: str) -> tuple[PolicyChange, ...]:
        """Return what a document would make different from what counts now.

        Parameters
        ----------
        name
            What the problems call the document.

        Raises
        ------
        ConfigurationError
            With every problem at once.
        """
        return changes_between(self.current(), self._read_strictly(document, name))

    def apply(self, document: str, *, name: str, by: str) -> Applied:
        """Store a document as the newest version, with its audit row; every process follows it within seconds.

        Raises
        ------
        ConfigurationError
            With every problem of the document at once; then the policy stays as it was.
        ServiceUnavailableError
            If the database does not answer; then as well.
        """
        policy = self._read_strictly(document, name)
        with self._database.write() as connection:
            before = self._read(connection)
            changes = changes_between(before.policy, policy)
            if not changes and not before.trouble:
                return Applied(before.version, (), is_stored=False)
            version = self._policies.insert(connection, document, at=self._clock(), by=by)
            detail = {"version": version, "changes": [str(change) for change in changes]}
            self._audit.record(connection, actor=by, action="apply_policy", target=f"policy:{version}", outcome="done", detail=detail)
        self._looked_seconds = self._monotonic() - LOOK_SECONDS
        return Applied(version, changes)

    def history(self, *, limit: int = 50) -> tuple[PolicyStep, ...]:
        """Return the versions, the newest first, each with what it changed."""
        with self._database.read() as connection:
            stored = self._policies.latest(connection, limit=limit + 1)
        readings = [_reading(each) for each in stored]
        before = readings[limit].policy if len(stored) > limit and not readings[limit].problems else SHIPPED
        steps: list[PolicyStep] = []
        for each, reading in reversed(tuple(zip(stored, readings, strict=True))[:limit]):
            changes = () if reading.problems else changes_between(before, reading.policy)
            before = before if reading.problems else reading.policy
            steps.append(PolicyStep(each.version, each.applied_at, each.applied_by, changes, each.document, _trouble_of(reading)))
        return tuple(reversed(steps))

    def _is_fresh(self) -> bool:
        return self._monotonic() - self._looked_seconds < LOOK_SECONDS

    def _look(self) -> PolicyInForce:
        """Read what counts, unless it is known already."""
        known = self._known
        if known is not None and self._is_fresh():
            return known
        looked = self._monotonic()
        try:
            with self._database.read() as connection:
                found = known if known is not None and self._policies.newest_version(connection) == known.newest_version else self._read(connection)
        except DatabaseAwayError:
            if known is None:
                raise
            found = known
        self._note(found)
        self._known, self._looked_seconds = found, looked
        return found

    def _note(self, found: PolicyInForce) -> None:
        before = self._known
        if found.trouble and (before is None or before.trouble != found.trouble):
            _LOG.error("%s", found.trouble)
        elif before is not None and found.version != before.version:
            _LOG.info("The queue follows version %s of the policy now", found.version)

    def _read(self, connection: Connection) -> PolicyInForce:
        """Return the newest version that can be read, else what is shipped."""
        newest, trouble, below = 0, "", None
        while stored := self._policies.latest(connection, limit=_STEP, before=below):
            for each in stored:
                newest, reading = newest or each.version, _reading(each)
                if not reading.problems:
                    return PolicyInForce(
                        reading.policy, each.version, each.applied_at, each.applied_by, each.document, newest, _following(trouble, each.version)
                    )
                trouble = trouble or _trouble_of(reading)
            below = stored[-1].version
        return PolicyInForce(newest_version=newest, trouble=_following(trouble, 0))

    def _read_strictly(self, document: str, name: str) -> Policy:
        if len(document.encode(errors="replace")) > MOST_BYTES:
            raise configuration_error("The policy", (Problem(Path(name), None, f"is larger than {MOST_BYTES // 1024} KiB"),))
        reading = read_policy_text(document, name, catalog=self._catalog())
        if reading.problems:
            raise configuration_error("The policy", reading.problems)
        return reading.policy


def _reading(stored: StoredPolicy) -> PolicyReading:
    """Return what a version says; names that the catalogue has lost since do no harm."""
    return read_policy_text(stored.document, f"policy version {stored.version}")


def _trouble_of(reading: PolicyReading) -> str:
    return "; ".join(str(problem) for problem in reading.problems)


def _following(trouble: str, version: int) -> str:
    """Say which version counts in the place of one that cannot be read; nothing where none had to be passed over."""
    if not trouble:
        return ""
    what = f"version {version} counts" if version else "the shipped policy counts"
    return f"The newest policy cannot be read by this version of the platform, so {what}: {trouble}. Apply one that can be read."
