"""The cluster that a database belongs to: in any other, running sessions look as if they were gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.clusters import ClusterIdentity, elsewhere, on_a_machine, unproven
from aiplatform_hub.errors import ConfigurationError, ConflictError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.clusters import ClusterStore, SeenCluster
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.heartbeats import HeartbeatStore
from aiplatform_hub.storage.usage import UsageStore

SILENT = timedelta(seconds=30)
"""A keeper that gave no sign of life for so long is not at work."""
WAITING = timedelta(minutes=2)
"""How long ago a keeper may have looked that still counts as waiting."""


@dataclass(eq=False)
class WrongClusterError(ConfigurationError):
    """The database belongs to another cluster: to act on what runs here would end what runs there."""

    code = "wrong_cluster"
    title = "The database belongs to another cluster"
    here: ClusterIdentity | None = None
    """Where the keeper is; None on a single machine."""


@dataclass(frozen=True, slots=True)
class Move:
    """What it means to move the database to another cluster."""

    home: ClusterIdentity | None
    """Where it belongs now; None if no keeper of a cluster ever said."""
    to: SeenCluster
    """Where a keeper waits."""
    ending: tuple[tuple[Allocation, datetime | None], ...]
    """Open allocations, which end as lost unless they run there, with their last proof of life."""


class ClusterHome:
    """Compares where a keeper is with where the database belongs."""

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        clusters: ClusterStore,
        allocations: AllocationStore,
        usage: UsageStore,
        heartbeats: HeartbeatStore,
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._clusters = clusters
        self._allocations = allocations
        self._usage = usage
        self._heartbeats = heartbeats
        self._audit = audit_trail
        self._clock = clock

    def home(self) -> ClusterIdentity | None:
        """Return where the database belongs; None before the first keeper of a cluster."""
        with self._database.read() as connection:
            return self._clusters.home(connection)

    def check(self, here: ClusterIdentity) -> bool:
        """Return whether the database is known to belong here; False if it belongs nowhere yet.

        Raises
        ------
        WrongClusterError
            If it belongs elsewhere.
        """
        home = self.home()
        if home is not None and home.namespace_uid != here.namespace_uid:
            raise WrongClusterError(elsewhere(home, here), here=here)
        return home is not None

    def check_machine(self) -> None:
        """Make sure that a keeper of a single machine may act.

        Raises
        ------
        WrongClusterError
            If the database belongs to a cluster.
        """
        home = self.home()
        if home is not None:
            raise WrongClusterError(on_a_machine(home))

    def claim(self, here: ClusterIdentity, seen: Collection[UUID]) -> None:
        """Let a database that belongs nowhere yet belong here.

        Parameters
        ----------
        here
            Where the keeper is.
        seen
            Allocations that have a pod here.

        Raises
        ------
        WrongClusterError
            If sessions run by the database and none of them is here: they run elsewhere.
        """
        with self._database.write() as connection:
            active = {a.id for a in self._allocations.open(connection) if a.state is AllocationState.ACTIVE}
            if active and not active & set(seen):
                raise WrongClusterError(unproven(here, len(active)), here=here)
            self._clusters.settle(connection, here, self._clock())

    def refused(self, here: ClusterIdentity, because: str) -> None:
        """Note that a keeper waits here and does nothing, for the admin page and for :meth:`plan`."""
        now = self._clock()
        with self._database.write() as connection:
            home = self._clusters.home(connection)
            if home is None or home.namespace_uid != here.namespace_uid:
                self._clusters.see(connection, here, now)
                self._heartbeats.explain(connection, "keeper", {"refuses": because}, now - SILENT)

    def plan(self) -> Move:
        """Return what a move to the cluster of the keeper that waits would mean.

        Raises
        ------
        ConflictError
            If no keeper waits, keepers wait in several clusters, or the keeper of the present cluster is at work.
        """
        with self._database.read() as connection:
            return self._plan(connection)

    def move(self, move: Move, actor: str) -> None:
        """Let the database belong to the other cluster from now on; audited. Its keeper then ends what does not run there.

        Raises
        ------
        ConflictError
            As :meth:`plan`, or if what was shown is not true any more.
        """
        with self._database.write() as connection:
            plan = self._plan(connection)
            if plan.to.identity != move.to.identity or plan.home != move.home:
                raise ConflictError("Another cluster's keeper waits by now. Look again.")
            self._clusters.settle(connection, plan.to.identity, self._clock())
            detail = {"from": str(plan.home) if plan.home else "", "open_allocations": [str(allocation.id) for allocation, _ in plan.ending]}
            self._audit.record(connection, actor=actor, action="move_cluster", target=str(plan.to.identity), outcome="done", detail=detail)

    def _plan(self, connection: Connection) -> Move:
        now = self._clock()
        beat = self._heartbeats.find(connection, "keeper")
        if beat is not None and now - beat.at < SILENT:
            raise ConflictError(f"A keeper is at work in the cluster that the database belongs to. Stop it first, and wait {SILENT.seconds} seconds.")
        waiting = [seen for seen in self._clusters.others(connection) if now - seen.seen_at < WAITING]
        if not waiting:
            raise ConflictError("No keeper waits in another cluster. Start it there first: only then is it known where to move to.")
        if len(waiting) > 1:
            places = "; ".join(str(seen.identity) for seen in waiting)
            raise ConflictError(f"Keepers wait in several places: {places}. Stop all but one, and wait {WAITING.seconds} seconds.")
        last_seen = {interval.allocation_id: interval.last_seen_at for interval in self._usage.all_open(connection)}
        ending = tuple((allocation, last_seen.get(allocation.id)) for allocation in self._allocations.open(connection))
        return Move(self._clusters.home(connection), waiting[0], ending)
