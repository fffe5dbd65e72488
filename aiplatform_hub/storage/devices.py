"""GPUs and what else a place has; its row is also the write lock on PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, insert, or_, select, text, update

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.cluster import ClusterCapacity
from aiplatform_hub.domain.node_shapes import NodeShape, shapes_of, values_of
from aiplatform_hub.storage.capacity_changes import has_capacity, note_capacity
from aiplatform_hub.storage.schema import capacity_pools, drains, gpu_devices, gpu_leases

MACHINE = "machine"
"""Name of the only pool, and the place that is one machine."""
CLUSTER = "cluster"
"""The place that is a cluster."""

_NEVER = -1
"""A version that no pool has."""

_seen = capacity_pools.alias("seen")
"""The pool's row as the statement saw it; the locked one may be newer, if it was waited for."""

_LOCK = select(capacity_pools.c.name).where(capacity_pools.c.name == MACHINE).with_for_update()
_IS_PRESENT = gpu_devices.c.present.is_(True)
_POOL = (
    select(
        capacity_pools.c.memory_bytes.label("pool_memory_bytes"),
        capacity_pools.c.cpu_cores.label("pool_cpu_cores"),
        capacity_pools.c.place.label("pool_place"),
        capacity_pools.c.version.label("pool_version"),
        capacity_pools.c.node_shapes.label("pool_node_shapes"),
        _seen.c.version.label("seen_version"),
        gpu_devices,
    )
    .select_from(
        capacity_pools.join(_seen, _seen.c.name == capacity_pools.c.name).outerjoin(
            gpu_devices, and_(gpu_devices.c.pool == _seen.c.name, _IS_PRESENT, _seen.c.version != bindparam("known"))
        )
    )
    .where(capacity_pools.c.name == MACHINE)
)
_LOCKED_POOL = _POOL.with_for_update(of=capacity_pools)
_UPDATE = update(gpu_devices).where(gpu_devices.c.uuid == bindparam("b_uuid"))
_DRAINED = select(drains.c.kind, drains.c.target).where(drains.c.undone_at.is_(None))
_LEASED = select(gpu_leases.c.device_uuid).where(text("gpu_leases.released_at IS NULL"))


@dataclass(frozen=True, slots=True)
class Pool:
    """What a place has."""

    memory_bytes: int
    cpu_cores: int
    devices: tuple[GpuDevice, ...]
    """Those that count, in their order on the machine or node."""
    is_cluster: bool = False
    shapes: tuple[NodeShape, ...] = ()
    """The largest nodes of a cluster."""


class DeviceStore:
    """Reads and writes the capacity of a machine or cluster. Reads a cluster's many GPUs again only when they changed."""

    def __init__(self) -> None:
        self._known: tuple[int, tuple[GpuDevice, ...]] = (_NEVER, ())

    def lock(self, connection: Connection) -> None:
        """Take the write lock, which on SQLite the transaction has had since it began."""
        connection.execute(_LOCK)

    def pool(self, connection: Connection, *, is_locking: bool = False) -> Pool | None:
        """Return what there is, and lock it if asked; None before the first registration."""
        known, devices = self._known
        rows = connection.execute(_LOCKED_POOL if is_locking else _POOL, {"known": known}).mappings().all()
        if not rows:
            return None
        first = rows[0]
        if first["pool_version"] != first["seen_version"]:  # they changed while this waited for the lock
            rows = connection.execute(select(gpu_devices).where(_IS_PRESENT)).mappings().all()
        if first["pool_version"] != known:
            devices = tuple(sorted((_device(row) for row in rows if row["uuid"] is not None), key=lambda device: (device.index, device.uuid)))
            self._known = (first["pool_version"], devices)
        return Pool(first["pool_memory_bytes"], first["pool_cpu_cores"], devices, first["pool_place"] == CLUSTER, shapes_of(first["pool_node_shapes"] or ()))

    def register(self, connection: Connection, devices: Sequence[GpuDevice], *, memory_bytes: int, cpu_cores: int, at: datetime) -> None:
        """Store what the machine has now. A device that is not there any more stays, as unhealthy."""
        self._store_pool(connection, memory_bytes=memory_bytes, cpu_cores=cpu_cores, updated_at=at, place=MACHINE, node_shapes=None)
        gone = self._store(connection, {device.uuid: _values(device, is_present=True) for device in devices}, at)
        if gone:
            connection.execute(update(gpu_devices).where(gpu_devices.c.uuid.in_(gone)).values(healthy=False, updated_at=at))
        self.apply_drains(connection, at)

    def is_as_stored(self, connection: Connection, capacity: ClusterCapacity) -> bool:
        """Whether :meth:`register_cluster` would change nothing."""
        if not has_capacity(connection):  # a database from before it was noted
            return False
        pool = self.pool(connection)
        if pool is None or not pool.is_cluster or (pool.memory_bytes, pool.cpu_cores) != (capacity.memory_bytes, capacity.cpu_cores):
            return False
        present = {device.uuid: device for device in capacity.present}
        stored = {device.uuid: device for device in pool.devices}
        if values_of(pool.shapes) != values_of(capacity.shapes) or any(stored.get(uuid) != device for uuid, device in present.items()):
            return False
        gone = [device for uuid, device in stored.items() if uuid not in present]
        if gone:  # what is leased stays, out of order
            leased = set(connection.execute(_LEASED).scalars())
            if any(device.is_healthy or device.uuid not in leased for device in gone):
                return False
        absent = {device.uuid: _values(device, is_present=False) for device in capacity.absent}
        rows = connection.execute(select(gpu_devices).where(gpu_devices.c.uuid.in_(list(absent)))).mappings().all() if absent else []
        return len(rows) == len(absent) and not any(_differs(row, absent[row["uuid"]]) for row in rows)

    def register_cluster(  # noqa: PLR0913  keyword-only
        self,
        connection: Connection,
        present: Sequence[GpuDevice],
        absent: Sequence[GpuDevice],
        *,
        memory_bytes: int,
        cpu_cores: int,
        at: datetime,
        shapes: Sequence[NodeShape] = (),
    ) -> None:
        """Store what the cluster has now. A slot that is gone does not count any more, unless it is leased: then it is out of order."""
        self._store_pool(connection, memory_bytes=memory_bytes, cpu_cores=cpu_cores, updated_at=at, place=CLUSTER, node_shapes=values_of(shapes))
        rows = {device.uuid: _values(device, is_present=True) for device in present} | {device.uuid: _values(device, is_present=False) for device in absent}
        gone = self._store(connection, rows, at)
        leased = set(connection.execute(_LEASED).scalars()) if gone else set()
        for is_present in (True, False):
            uuids = [uuid for uuid in gone if (uuid in leased) is is_present]
            if uuids:
                connection.execute(update(gpu_devices).where(gpu_devices.c.uuid.in_(uuids)).values(healthy=False, present=is_present, updated_at=at))
        note_capacity(connection, at)

    def apply_drains(self, connection: Connection, at: datetime) -> None:
        """Note on each GPU of a machine whether a drain stands that is about it: decisions read it with the GPUs, in the same statement."""
        drained = {(row.kind, row.target) for row in connection.execute(_DRAINED)}
        is_whole = ("node", MACHINE) in drained
        rows = connection.execute(select(gpu_devices.c.uuid, gpu_devices.c.drained).where(gpu_devices.c.node.is_(None), gpu_devices.c.node_pool.is_(None)))
        changed = [{"b_uuid": row.uuid, "drained": not row.drained} for row in rows if row.drained != (is_whole or ("gpu", row.uuid) in drained)]
        if changed:
            connection.execute(_UPDATE, changed)
            self._note_change(connection)
        note_capacity(connection, at)

    def claim(self, connection: Connection, like: GpuDevice, amount: int, at: datetime) -> tuple[str, ...]:
        """Return free slots of a node for a session that runs on it already; they count from now on.

        Where the node has promised more than it has, it gets slots beyond what it has: what runs there is counted there.

        Parameters
        ----------
        connection
            Of a transaction that holds the lock.
        like
            A slot of that node, resource and GPU type.
        amount
            How many.
        at
            Now.
        """
        prefix = like.uuid.rpartition("/")[0] + "/"
        order = (gpu_devices.c.present.desc(), gpu_devices.c.healthy.desc(), gpu_devices.c.device_index)
        rows = connection.execute(select(gpu_devices.c.uuid, gpu_devices.c.device_index).where(gpu_devices.c.node == like.node).order_by(*order)).all()
        mine = [row for row in rows if row.uuid.startswith(prefix)]
        leased = set(connection.execute(_LEASED).scalars())
        chosen = [row.uuid for row in mine if row.uuid not in leased][:amount]
        if chosen:
            connection.execute(update(gpu_devices).where(gpu_devices.c.uuid.in_(chosen)).values(present=True, updated_at=at))
        first = max((row.device_index + 1 for row in mine), default=0)
        beyond = [replace(like, uuid=f"{prefix}{index}", index=index) for index in range(first, first + amount - len(chosen))]
        if beyond:
            connection.execute(insert(gpu_devices), [{"uuid": device.uuid, **_values(device, is_present=True), "updated_at": at} for device in beyond])
        self._note_change(connection)
        return (*chosen, *(device.uuid for device in beyond))

    def _store_pool(self, connection: Connection, **values: Any) -> None:
        if not connection.execute(update(capacity_pools).where(capacity_pools.c.name == MACHINE).values(**values)).rowcount:
            connection.execute(insert(capacity_pools).values(name=MACHINE, **values))

    def _store(self, connection: Connection, rows: Mapping[str, Mapping[str, Any]], at: datetime) -> list[str]:
        """Insert and update what differs; return the ids that counted and are not among the rows."""
        statement = select(gpu_devices).where(or_(gpu_devices.c.present.is_(True), gpu_devices.c.uuid.in_(list(rows))))
        known = {row["uuid"]: row for row in connection.execute(statement).mappings()}
        added = [{"uuid": uuid, **values, "updated_at": at} for uuid, values in rows.items() if uuid not in known]
        changed = [{"b_uuid": uuid, **values, "updated_at": at} for uuid, values in rows.items() if uuid in known and _differs(known[uuid], values)]
        gone = sorted(uuid for uuid, row in known.items() if row["present"] and uuid not in rows)
        if added:
            connection.execute(insert(gpu_devices), added)
        if changed:
            connection.execute(_UPDATE, changed)
        if added or changed or gone:
            self._note_change(connection)
        return gone

    def _note_change(self, connection: Connection) -> None:
        # a random number: one that counts would come again after a restore from a backup
        connection.execute(update(capacity_pools).where(capacity_pools.c.name == MACHINE).values(version=secrets.randbits(62)))


def _device(row: RowMapping) -> GpuDevice:
    return GpuDevice(
        uuid=row["uuid"],
        gpu_type=row["gpu_type"],
        memory_bytes=row["memory_bytes"],
        is_healthy=row["healthy"],
        is_simulated=row["simulated"],
        index=row["device_index"],
        product_name=row["product_name"],
        node=row["node"],
        node_pool=row["node_pool"],
        is_drained=row["drained"],
    )


def _values(device: GpuDevice, *, is_present: bool) -> dict[str, Any]:
    return {
        "pool": MACHINE,
        "gpu_type": device.gpu_type,
        "product_name": device.product_name,
        "memory_bytes": device.memory_bytes,
        "device_index": device.index,
        "healthy": device.is_healthy,
        "simulated": device.is_simulated,
        "node": device.node,
        "node_pool": device.node_pool,
        "present": is_present,
    }


def _differs(row: RowMapping, values: Mapping[str, Any]) -> bool:
    return any(row[name] != value for name, value in values.items())
