"""What a cluster can give: its slots, kept in step with nodes and pods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, GpuDevice
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.cluster import ClusterCapacity, slot_id, slot_of, slots_of
from aiplatform_hub.domain.nodes import NodeView
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.devices import DeviceStore


class ClusterCapacityRegister:
    """Stores a cluster's capacity under the lock of decisions, so that no decision sees half of it."""

    def __init__(self, *, database: Database, catalog: Catalog, allocations: AllocationStore, devices: DeviceStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._catalog = catalog
        self._allocations = allocations
        self._devices = devices
        self._clock = clock

    def register(self, nodes: Iterable[NodeView], foreign_gpus: Mapping[tuple[str, str], int]) -> None:
        """Store what the cluster has now; decisions are held up only where something has changed.

        Parameters
        ----------
        nodes
            Every node.
        foreign_gpus
            GPUs that pods other than open sessions take, by node and resource.
        """
        nodes = tuple(nodes)
        with self._database.read() as connection:
            if self._devices.is_as_stored(connection, self._capacity(connection, nodes, foreign_gpus)):
                return
        with self._database.write() as connection:
            self._devices.lock(connection)
            capacity = self._capacity(connection, nodes, foreign_gpus)
            self._devices.register_cluster(
                connection,
                capacity.present,
                capacity.absent,
                memory_bytes=capacity.memory_bytes,
                cpu_cores=capacity.cpu_cores,
                at=self._clock(),
                shapes=capacity.shapes,
            )

    def _capacity(self, connection: Connection, nodes: Iterable[NodeView], foreign_gpus: Mapping[tuple[str, str], int]) -> ClusterCapacity:
        return slots_of(
            nodes,
            foreign_gpus=foreign_gpus,
            leased=self._allocations.leased(connection).keys(),
            gpu_types=self._catalog.gpu_types,
            node_pools=self._catalog.node_pools,
        )

    def place(self, allocation_id: UUID, node: str) -> Allocation | None:
        """Move an allocation's leases to the node that its pod was bound to, if they are elsewhere.

        Returns
        -------
        Allocation or None
            The allocation as it is now; None if it is not open.
        """
        with self._database.write() as connection:
            self._devices.lock(connection)
            allocation = self._allocations.find(connection, allocation_id)
            if allocation is None or not allocation.is_open:
                return None
            slots = [slot for uuid in allocation.devices if (slot := slot_of(uuid)) is not None]
            if all(slot.node == node for slot in slots):
                return allocation
            now, resource = self._clock(), slots[0].resource
            like = GpuDevice(slot_id(node, resource, 0), allocation.request.gpu_type or "", 0, node=node, product_name=resource)
            return self._allocations.move(connection, allocation, self._devices.claim(connection, like, len(slots), now), now)
