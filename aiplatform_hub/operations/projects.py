"""What projects share, hold and used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from aiplatform_hub.domain.catalog import Catalog, Project
from aiplatform_hub.domain.limits import PROJECT, LimitUsage, server_label
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.operations.cost_reporter import CostReporter, UsageQuery
from aiplatform_hub.operations.quota_enforcer import QuotaEnforcer

_NOBODY = Caller(0, "")


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """One project."""

    project: Project
    limits: tuple[LimitUsage, ...]
    """Of its shared pool."""
    share: float
    """Its weight in the queue's fair share, by the policy in force."""
    share_fraction: float
    """The part of all projects' weights that it has, 0 to 1."""
    gpu_limit: int | None
    """GPUs that the policy lets it hold at once; None for no bound."""
    gpu_hours: Decimal
    """Since the start of the span."""
    costs: Mapping[str, Decimal]
    """The same in money, by currency."""


class ProjectDirectory:
    """Puts together what catalogue, policy and ledger know of projects. Reads only."""

    def __init__(
        self, *, catalog: Catalog, enforcer: QuotaEnforcer, reporter: CostReporter, policy: Callable[[], Policy], clock: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._enforcer = enforcer
        self._reporter = reporter
        self._policy = policy
        self._clock = clock

    def read(self) -> tuple[ProjectRecord, ...]:
        """Return every project of the catalogue, with its use since the start of the UTC month."""
        now, policy = self._clock(), self._policy()
        start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        hours: dict[str, Decimal] = {}
        costs: dict[str, dict[str, Decimal]] = {}
        if start < now:
            for row in self._reporter.costs(UsageQuery(start, now, ("project",))).rows:
                name = str(row.keys["project"])
                hours[name] = hours.get(name, Decimal(0)) + row.gpu_seconds / 3600
                if row.currency is not None and row.amount is not None:
                    costs.setdefault(name, {})[row.currency] = row.amount
        whole = sum(share_of(policy, name) for name in self._catalog.projects)
        return tuple(
            ProjectRecord(
                project=project,
                limits=self._limits(project),
                share=share_of(policy, project.name),
                share_fraction=share_of(policy, project.name) / whole if whole else 0.0,
                gpu_limit=policy.project_limits.get(project.name),
                gpu_hours=hours.get(project.name, Decimal(0)),
                costs=costs.get(project.name, {}),
            )
            for project in self._catalog.projects.values()
        )

    def _limits(self, project: Project) -> tuple[LimitUsage, ...]:
        if not project.limits:
            return ()
        rows = [row for row in self._enforcer.quota_of(_NOBODY, project.name) if row.limit.scope == PROJECT]
        return tuple(replace(row, held_by=tuple(f"{a.user_name}: {server_label(a)}" for a in row.holders)) for row in rows)


def share_of(policy: Policy, name: str) -> float:
    """Return a project's weight in the queue's fair share; one that the policy does not name has 1."""
    return policy.project_shares.get(name, 1.0)
