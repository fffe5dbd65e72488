"""GPUs of a cluster as slots of its nodes. A slot is a promise; which physical GPU a pod gets is the kubelet's choice. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import OTHER_GPU_TYPE, SIMULATED_GPU_TYPE, GpuType, NodePool, gpu_type_of
from aiplatform_hub.domain.node_shapes import NodeShape, widest
from aiplatform_hub.domain.nodes import NodeView
from aiplatform_hub.domain.pods import GPU_RESOURCE
from aiplatform_hub.domain.units import GIB, MIB

_NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Slot:
    """What the id of a cluster's GPU says: ``HOST/RESOURCE/INDEX``."""

    host: str
    """A node, or ``POOL+K`` for the K-th node that a pool may still start."""
    resource: str
    """What a pod asks for, for example ``nvidia.com/gpu``."""
    index: int

    @property
    def node(self) -> str | None:
        """Name of the node; None where an autoscaler has yet to start it."""
        return None if "+" in self.host else self.host

    @property
    def node_pool(self) -> str | None:
        """Name of the pool that has yet to start the node; None for a node that exists."""
        return self.host.rsplit("+", 1)[0] if "+" in self.host else None


@dataclass(frozen=True, slots=True)
class ClusterCapacity:
    """What a cluster has, and may still start."""

    present: tuple[GpuDevice, ...]
    """Slots that count: free, leased, or out of order."""
    absent: tuple[GpuDevice, ...]
    """Slots that something else uses: other pods, or sessions that wait for just this node."""
    memory_bytes: int
    cpu_cores: int
    shapes: tuple[NodeShape, ...]
    """The largest nodes, those that may still start included."""


def slot_of(uuid: str) -> Slot | None:
    """Return the slot that a GPU's id names; None for a GPU of a single machine."""
    host, _, rest = uuid.partition("/")
    resource, _, index = rest.rpartition("/")
    return Slot(host, resource, int(index)) if resource and index.isdecimal() else None


def slot_id(host: str, resource: str, index: int) -> str:
    """Return the id of a slot."""
    return f"{host}/{resource}/{index}"


def slots_of(
    nodes: Iterable[NodeView],
    *,
    foreign_gpus: Mapping[tuple[str, str], int],
    leased: Collection[str],
    gpu_types: Mapping[str, GpuType],
    node_pools: Mapping[str, NodePool],
) -> ClusterCapacity:
    """Return the GPU slots, the memory and the cores of a cluster.

    Parameters
    ----------
    nodes
        Every node of the cluster.
    foreign_gpus
        GPUs that pods other than our open sessions take, by node and resource.
    leased
        Ids of the slots in an open lease; these are kept first.
    gpu_types, node_pools
        The catalogue's.
    """
    by_host, ordered = _indexes(leased), sorted(nodes, key=lambda node: node.name)
    resources = sorted({gpu_type.resource for gpu_type in gpu_types.values()})
    boards = [
        _Board.of(node, resource, foreign_gpus.get((node.name, resource), 0), by_host.get((node.name, resource), _NOTHING), gpu_types)
        for node in ordered
        for resource in resources
        if node.capacity.get(resource, 0) > 0
    ]
    pools = [pool for pool in sorted(node_pools.values(), key=lambda pool: pool.name) if pool.gpu_type in gpu_types]
    starting = [_Starting.of(pool, gpu_types[pool.gpu_type].resource, ordered, boards, by_host) for pool in pools]  # takes from the boards
    usable = _usable(ordered)
    parts: list[_Board | _Starting] = [*boards, *starting]
    return ClusterCapacity(
        present=tuple(device for part in parts for device in part.present()),
        absent=tuple(device for board in boards for device in board.absent()),
        memory_bytes=sum(node.memory_bytes for node in usable) + sum(part.nodes * part.pool.memory_gib * GIB for part in starting),
        cpu_cores=sum(node.cpu_cores for node in usable) + sum(part.nodes * part.pool.cpu_cores for part in starting),
        shapes=widest([*_shapes(usable, boards), *(part.shape() for part in starting if part.nodes and part.pool.memory_gib)]),
    )


def _usable(nodes: Collection[NodeView]) -> list[NodeView]:
    """Return the nodes that count: with every node silent for a moment nothing is free, but nothing has become impossible either."""
    return [node for node in nodes if node.is_usable] or [node for node in nodes if node.is_schedulable]


def _shapes(nodes: Iterable[NodeView], boards: Iterable[_Board]) -> Iterator[NodeShape]:
    gpus: dict[str, Counter[str]] = {}
    for board in boards:
        gpus.setdefault(board.node.name, Counter())[board.gpu_type] += board.node.capacity[board.resource]
    for node in nodes:
        yield NodeShape(node.memory_bytes, node.cpu_cores, tuple(sorted(gpus.get(node.name, Counter()).items())))


def _indexes(leased: Iterable[str]) -> dict[tuple[str, str], frozenset[int]]:
    found: dict[tuple[str, str], set[int]] = {}
    for uuid in leased:
        slot = slot_of(uuid)
        if slot is not None:
            found.setdefault((slot.host, slot.resource), set()).add(slot.index)
    return {key: frozenset(indexes) for key, indexes in found.items()}


@dataclass(slots=True)
class _Board:
    """The slots of one resource on one node."""

    node: NodeView
    resource: str
    gpu_type: str
    product_name: str
    leased: frozenset[int]
    usable: list[int]
    """Slots that work and that no foreign pod takes, the leased ones first."""
    broken: list[int]
    taken: list[int]
    """Slots of foreign pods, and those that a session which waits for a new node will get."""

    @classmethod
    def of(cls, node: NodeView, resource: str, foreign: int, leased: frozenset[int], gpu_types: Mapping[str, GpuType]) -> _Board:
        total = node.capacity[resource]
        works = min(total, node.allocatable.get(resource, 0)) if node.is_usable else 0
        order = [*sorted(leased), *(index for index in range(total) if index not in leased)]
        free = max(0, works - foreign)
        broken = order[free : free + total - works]
        name, product = _kind(node, resource, gpu_types)
        return cls(node, resource, name, product, leased, order[:free], broken, order[free + len(broken) :])

    def free(self) -> list[int]:
        """Return the slots that can be handed out."""
        return [index for index in self.usable if index not in self.leased]

    def reserve(self, amount: int) -> None:
        """Keep free slots for a session that will be bound to this node."""
        kept = set(self.free()[-amount:])
        self.usable = [index for index in self.usable if index not in kept]
        self.taken += sorted(kept)

    def present(self) -> Iterator[GpuDevice]:
        """Yield the slots that count; a leased one always does."""
        kept = [index for index in self.taken if index in self.leased]
        yield from (self._device(index, is_healthy=True) for index in sorted([*self.usable, *kept]))
        yield from (self._device(index, is_healthy=False) for index in sorted(self.broken))

    def absent(self) -> Iterator[GpuDevice]:
        """Yield the slots that do not count now."""
        yield from (self._device(index, is_healthy=True) for index in sorted(self.taken) if index not in self.leased)

    def _device(self, index: int, *, is_healthy: bool) -> GpuDevice:
        memory = self.node.labels.get(f"{self.resource}.memory", "")
        return GpuDevice(
            uuid=slot_id(self.node.name, self.resource, index),
            gpu_type=self.gpu_type,
            memory_bytes=int(memory) * MIB if memory.isdecimal() else 0,
            is_healthy=is_healthy,
            index=index,
            product_name=self.product_name,
            node=self.node.name,
        )


def _kind(node: NodeView, resource: str, gpu_types: Mapping[str, GpuType]) -> tuple[str, str]:
    """Return the GPU type and the product name of a node's resource.

    A type without fragments of product names is meant by its resource alone, if that is not the usual one.
    """
    candidates = {name: kind for name, kind in gpu_types.items() if kind.resource == resource}
    labels = {name: node.labels.get(kind.product_label, "") for name, kind in candidates.items()}
    for product in dict.fromkeys(label for label in labels.values() if label):
        found = gpu_type_of(product, {name: kind for name, kind in candidates.items() if labels[name] == product})
        if found != OTHER_GPU_TYPE:
            return found, product
    product = next((label for label in labels.values() if label), resource)
    catch_all = sorted(name for name, kind in candidates.items() if not kind.match and name not in {OTHER_GPU_TYPE, SIMULATED_GPU_TYPE})
    return (catch_all[0] if catch_all and resource != GPU_RESOURCE else OTHER_GPU_TYPE), product


@dataclass(slots=True)
class _Starting:
    """Nodes that a pool may still start, and slots of such nodes that are leased already."""

    pool: NodePool
    resource: str
    leased: dict[str, frozenset[int]]
    """Leased indexes of each host ``POOL+K``."""
    whole: list[str]
    """Hosts that may still start, those with leases first."""

    @classmethod
    def of(cls, pool: NodePool, resource: str, nodes: list[NodeView], boards: list[_Board], by_host: Mapping[tuple[str, str], frozenset[int]]) -> _Starting:
        leased = {host: indexes for (host, of), indexes in by_host.items() if host.rpartition("+")[0] == pool.name and of == resource}
        mine = [board for board in boards if board.resource == resource and _is_in(board.node, pool)]
        waiting = [host for host in sorted(leased, key=lambda host: (-len(leased[host]), host)) if not _expect(mine, len(leased[host]))]
        allowed = max(0, pool.max_nodes - sum(_is_in(node, pool) for node in nodes))
        others = (host for number in count() if (host := f"{pool.name}+{number}") not in leased)
        return cls(pool, resource, leased, [*sorted(waiting)[:allowed], *islice(others, max(0, allowed - len(waiting)))])

    @property
    def nodes(self) -> int:
        """How many nodes may still start."""
        return len(self.whole)

    def shape(self) -> NodeShape:
        """Return how large such a node is."""
        return NodeShape(self.pool.memory_gib * GIB, self.pool.cpu_cores, ((self.pool.gpu_type, self.pool.gpus_per_node),))

    def present(self) -> Iterator[GpuDevice]:
        """Yield the slots of nodes that may start, and every leased one."""
        for host in dict.fromkeys([*self.whole, *sorted(self.leased)]):
            offered = range(self.pool.gpus_per_node) if host in self.whole else ()
            for index in sorted({*offered, *self.leased.get(host, _NOTHING)}):
                uuid = slot_id(host, self.resource, index)
                yield GpuDevice(uuid, self.pool.gpu_type, 0, index=index, product_name=self.pool.display_name, node_pool=self.pool.name)


def _is_in(node: NodeView, pool: NodePool) -> bool:
    return all(node.labels.get(key) == value for key, value in pool.node_selector.items())


def _expect(boards: list[_Board], amount: int) -> bool:
    """Keep slots of a running node for sessions that wait for one; return False if no node has so many."""
    board = max(boards, key=lambda board: len(board.free()), default=None)
    if board is None or len(board.free()) < amount:
        return False
    board.reserve(amount)
    return True
