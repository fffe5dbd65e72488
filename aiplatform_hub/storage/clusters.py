"""Which cluster the database belongs to, and where keepers were that it does not belong to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, RowMapping, insert, select, update

from aiplatform_hub.domain.clusters import ClusterIdentity
from aiplatform_hub.storage.schema import clusters


@dataclass(frozen=True, slots=True)
class SeenCluster:
    """A cluster in which a keeper was started with this database."""

    identity: ClusterIdentity
    seen_at: datetime
    """When a keeper last looked there, aware UTC; for the one that the database belongs to, when it became so."""


class ClusterStore:
    """Reads and writes identities of clusters."""

    def home(self, connection: Connection) -> ClusterIdentity | None:
        """Return the cluster that the database belongs to; None before the first keeper of one."""
        row = connection.execute(select(clusters).where(clusters.c.is_home.is_(True))).mappings().one_or_none()
        return None if row is None else _identity(row)

    def others(self, connection: Connection) -> tuple[SeenCluster, ...]:
        """Return where keepers were that the database does not belong to, the latest first."""
        rows = connection.execute(select(clusters).where(clusters.c.is_home.is_(False)).order_by(clusters.c.seen_at.desc())).mappings()
        return tuple(SeenCluster(_identity(row), row["seen_at"]) for row in rows)

    def see(self, connection: Connection, identity: ClusterIdentity, at: datetime) -> None:
        """Note that a keeper is there."""
        self._store(connection, identity, at)

    def settle(self, connection: Connection, identity: ClusterIdentity, at: datetime) -> None:
        """Make this the cluster that the database belongs to, in place of any other."""
        connection.execute(update(clusters).where(clusters.c.is_home.is_(True)).values(is_home=False))
        self._store(connection, identity, at, is_home=True)

    def _store(self, connection: Connection, identity: ClusterIdentity, at: datetime, **values: bool) -> None:
        values_now = {"namespace": identity.namespace, "api_server": identity.api_server, "seen_at": at, **values}
        known = clusters.c.namespace_uid == identity.namespace_uid
        if not connection.execute(update(clusters).where(known).values(**values_now)).rowcount:
            connection.execute(insert(clusters).values(namespace_uid=identity.namespace_uid, **{"is_home": False, **values_now}))


def _identity(row: RowMapping) -> ClusterIdentity:
    return ClusterIdentity(row["namespace_uid"], row["namespace"], row["api_server"])
