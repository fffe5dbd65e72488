"""GPUs and what else the machine has; its row is also the write lock on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.storage.schema import capacity_pools, gpu_devices

MACHINE = "machine"
"""Name of the only pool of a single machine."""

_LOCK = select(capacity_pools.c.name).where(capacity_pools.c.name == MACHINE).with_for_update()
_POOL = (
    select(capacity_pools.c.memory_bytes.label("pool_memory_bytes"), capacity_pools.c.cpu_cores.label("pool_cpu_cores"), gpu_devices)
    .select_from(capacity_pools.outerjoin(gpu_devices, gpu_devices.c.pool == capacity_pools.c.name))
    .where(capacity_pools.c.name == MACHINE)
)
_LOCKED_POOL = _POOL.with_for_update(of=capacity_pools)


@dataclass(frozen=True, slots=True)
class Pool:
    """What the machine has."""

    memory_bytes: int
    cpu_cores: int
    devices: tuple[GpuDevice, ...]
    """In their order on the machine."""


class DeviceStore:
    """Reads and writes the machine's capacity."""

    def lock(self, connection: Connection) -> None:
        """Take the write lock, which on SQLite the transaction has had since it began."""
        connection.execute(_LOCK)

    def pool(self, connection: Connection, *, is_locking: bool = False) -> Pool | None:
        """Return what the machine has, and lock it if asked; None before the first registration."""
        rows = connection.execute(_LOCKED_POOL if is_locking else _POOL).mappings().all()
        if not rows:
            return None
        devices = [
            GpuDevice(
                uuid=row["uuid"],
                gpu_type=row["gpu_type"],
                memory_bytes=row["memory_bytes"],
                is_healthy=row["healthy"],
                is_simulated=row["simulated"],
                index=row["device_index"],
                product_name=row["product_name"],
            )
            for row in rows
            if row["uuid"] is not None
        ]
        devices.sort(key=lambda device: (device.index, device.uuid))
        return Pool(memory_bytes=rows[0]["pool_memory_bytes"], cpu_cores=rows[0]["pool_cpu_cores"], devices=tuple(devices))

    def register(self, connection: Connection, devices: Sequence[GpuDevice], *, memory_bytes: int, cpu_cores: int, at: datetime) -> None:
        """Store what the machine has now. A device that is not there any more stays, as unhealthy."""
        machine = {"memory_bytes": memory_bytes, "cpu_cores": cpu_cores, "updated_at": at}
        if not connection.execute(update(capacity_pools).where(capacity_pools.c.name == MACHINE).values(**machine)).rowcount:
            connection.execute(insert(capacity_pools).values(name=MACHINE, **machine))
        known = set(connection.execute(select(gpu_devices.c.uuid)).scalars())
        for device in devices:
            values = self._values(device, at)
            if device.uuid in known:
                connection.execute(update(gpu_devices).where(gpu_devices.c.uuid == device.uuid).values(**values))
            else:
                connection.execute(insert(gpu_devices).values(uuid=device.uuid, **values))
        gone = known - {device.uuid for device in devices}
        if gone:
            connection.execute(update(gpu_devices).where(gpu_devices.c.uuid.in_(sorted(gone))).values(healthy=False, updated_at=at))

    def _values(self, device: GpuDevice, at: datetime) -> dict[str, Any]:
        return {
            "pool": MACHINE,
            "gpu_type": device.gpu_type,
            "product_name": device.product_name,
            "memory_bytes": device.memory_bytes,
            "device_index": device.index,
            "healthy": device.is_healthy,
            "simulated": device.is_simulated,
            "updated_at": at,
        }
