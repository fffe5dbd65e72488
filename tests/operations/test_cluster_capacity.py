"""A cluster's slots in the database: registered under the decisions' lock, moved to the node where a pod really runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.allocations import EndCause
from aiplatform_hub.domain.catalog import GpuType, NodePool
from aiplatform_hub.domain.cluster import slot_of
from aiplatform_hub.domain.nodes import NodeView
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import CapacityError, QuotaExceededError
from aiplatform_hub.operations.cluster_capacity import ClusterCapacityRegister
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.devices import DeviceStore
from tests.support.chain import CATALOG, Chain, person, want

GPU = "nvidia.com/gpu"
SPOT = NodePool("spot", "Spot", "h100", 2, 2, 6, {"pool": "spot"}, memory_gib=64, cpu_cores=8)
CLUSTER_CATALOG = replace(CATALOG, gpu_types={"h100": GpuType("h100", "NVIDIA H100", ("h100",))}, node_pools={"spot": SPOT})
STAFF = person(1, "staff")


def node(name: str, gpus: int = 2, *, works: int | None = None, is_ready: bool = True, pool: str = "") -> NodeView:
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", **({"pool": pool} if pool else {})}
    return NodeView(name, is_ready, True, {GPU: gpus}, {GPU: gpus if works is None else works}, labels, 64 * GIB, 16)


class Cluster(Chain):
    """The chain in a cluster."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.capacity = ClusterCapacityRegister(
            database=self.database, catalog=self.catalog, allocations=self.allocations, devices=self.devices, clock=self.clock
        )

    def nodes(self, *nodes: NodeView, foreign: dict[tuple[str, str], int] | None = None) -> None:
        self.capacity.register(nodes, foreign or {})

    def leased(self) -> dict[str, object]:
        with self.database.read() as connection:
            return dict(self.allocations.leased(connection))

    def counts(self) -> tuple[int, int, int, int, int]:
        rows = self.enforcer.capacity()
        return tuple(sum(getattr(row, name) for row in rows) for name in ("total", "free", "held", "unhealthy", "startable"))  # type: ignore[return-value]


@pytest.fixture
def cluster(database: Database, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with two nodes of 2 GPUs, and a pool that may start two more."""
    made = Cluster(database, tmp_path / "ledger-head.json", catalog=CLUSTER_CATALOG)
    made.nodes(node("a"), node("b"))
    yield made


@pytest.fixture
def locks(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often the lock of decisions was taken."""
    taken: list[str] = []
    lock = cluster.devices.lock
    monkeypatch.setattr(cluster.devices, "lock", lambda connection: (taken.append("lock"), lock(connection)))
    return taken


def end(cluster: Cluster, allocation_id: object) -> None:
    cluster.meter.released(allocation_id, EndCause.STOPPED_BY_USER, "user1")


def test_session_gets_gpus_of_one_node_and_large_ones_find_room(cluster: Cluster) -> None:
    held = [cluster.hold(person(number), "", want(1)) for number in (1, 2)]
    assert {slot_of(device).node for one in held for device in one.devices} == {"a"}
    large = cluster.hold(person(3), "", want(2))
    assert large.devices == ("b/nvidia.com/gpu/0", "b/nvidia.com/gpu/1")
    assert cluster.counts() == (4, 0, 4, 0, 4)
    (row,) = cluster.enforcer.capacity()
    assert (row.startable, row.minutes_to_start) == (4, 6)


def test_more_than_any_node_has_is_refused_for_good(cluster: Cluster) -> None:
    with pytest.raises(QuotaExceededError, match="No node has 4 × NVIDIA H100; the largest has 2"):
        cluster.hold(STAFF, "", want(4))


def test_more_memory_than_any_node_has_is_refused_for_good(cluster: Cluster) -> None:
    with pytest.raises(QuotaExceededError, match=r"No node has 65 GiB of memory; the largest has 64 GiB\."):
        cluster.hold(STAFF, "", want(0, memory_gib=65))
    cluster.hold(STAFF, "", want(0, memory_gib=64))


def test_the_largest_node_follows_the_cluster(cluster: Cluster) -> None:
    small = replace(node("a"), memory_bytes=8 * GIB, cpu_cores=4)
    cluster.catalog = replace(CLUSTER_CATALOG, node_pools={})
    cluster.capacity = ClusterCapacityRegister(
        database=cluster.database, catalog=cluster.catalog, allocations=cluster.allocations, devices=cluster.devices, clock=cluster.clock
    )
    cluster.nodes(small, node("b"))
    assert cluster.enforcer.dry_run(STAFF, want(2, memory_gib=16)).is_admitted
    cluster.nodes(small, replace(small, name="b"))
    assert cluster.enforcer.dry_run(STAFF, want(2, memory_gib=16)).reasons[0].message == "No node has 16 GiB of memory; the largest has 8 GiB."


def test_new_node_is_asked_for_only_where_no_real_one_suffices(cluster: Cluster) -> None:
    cluster.hold(person(1), "", want(1))
    cluster.hold(person(2), "", want(2))
    third = cluster.hold(person(3), "", want(2))
    assert third.devices == ("spot+0/nvidia.com/gpu/0", "spot+0/nvidia.com/gpu/1")
    assert cluster.enforcer.dry_run(person(4), want(2)).node_pool == "spot"
    assert cluster.enforcer.dry_run(person(4), want(1)).node_pool is None
    assert cluster.counts() == (6, 1, 5, 0, 2)


def test_bound_pod_takes_its_leases_to_its_node(cluster: Cluster) -> None:
    for number in (1, 2):
        cluster.hold(person(number), "", want(2))
    waiting = cluster.hold(person(3), "", want(2))
    cluster.nodes(node("a"), node("b"), node("spot-x", pool="spot"))
    assert cluster.counts() == (6, 0, 6, 0, 2), "the new node is kept for the session that waits for it"
    placed = cluster.capacity.place(waiting.id, "spot-x")
    assert placed is not None
    assert placed.devices == cluster.find(waiting).devices == ("spot-x/nvidia.com/gpu/0", "spot-x/nvidia.com/gpu/1")
    assert {uuid for uuid, holder in cluster.leased().items() if holder == waiting.id} == set(placed.devices)
    assert cluster.capacity.place(waiting.id, "spot-x") == placed
    cluster.nodes(node("a"), node("b"), node("spot-x", pool="spot"))
    assert cluster.counts() == (6, 0, 6, 0, 2)


def test_node_that_is_bound_to_more_than_it_promised_counts_it_all(cluster: Cluster) -> None:
    first = cluster.hold(person(1), "", want(2))
    second = cluster.hold(person(2), "", want(2))
    assert {slot_of(device).node for device in (*first.devices, *second.devices)} == {"a", "b"}
    target = slot_of(first.devices[0]).node
    placed = cluster.capacity.place(second.id, target)
    assert placed.devices == (f"{target}/nvidia.com/gpu/2", f"{target}/nvidia.com/gpu/3")
    cluster.nodes(node("a"), node("b"))
    assert cluster.counts() == (6, 2, 4, 0, 4)
    end(cluster, second.id)
    cluster.nodes(node("a"), node("b"))
    assert cluster.counts() == (4, 2, 2, 0, 4), "what was promised beyond is gone with its session"


def test_place_leaves_alone_what_is_over_unknown_or_without_gpus(cluster: Cluster) -> None:
    held = cluster.hold(person(1), "", want(1))
    plain = cluster.hold(person(2), "", want(0))
    assert cluster.capacity.place(plain.id, "a") == plain
    end(cluster, held.id)
    assert cluster.capacity.place(held.id, "b") is None
    assert cluster.capacity.place(uuid4(), "b") is None
    assert cluster.leased() == {}


def test_node_that_is_gone_no_longer_counts_but_its_sessions_do(cluster: Cluster) -> None:
    held = cluster.hold(person(1), "", want(1))
    cluster.nodes(node("b"))
    assert cluster.counts() == (3, 2, 1, 0, 4)
    end(cluster, held.id)
    assert cluster.counts() == (3, 2, 0, 1, 4), "nobody gets it before the nodes are looked at again"
    cluster.nodes(node("b"))
    assert cluster.counts() == (2, 2, 0, 0, 4)
    cluster.nodes(node("a"), node("b"))
    assert cluster.counts() == (4, 4, 0, 0, 4)
    with cluster.database.read() as connection:
        uuids = set(connection.execute(select(schema.gpu_devices.c.uuid)).scalars())
    assert held.devices[0] in uuids


def test_broken_and_foreign_gpus_are_not_promised(cluster: Cluster) -> None:
    cluster.nodes(node("a", works=1), node("b"), foreign={("b", GPU): 2})
    assert cluster.counts() == (2, 1, 0, 1, 4)
    assert cluster.hold(person(1), "", want(2)).devices[0].startswith("spot+0/")
    assert cluster.hold(person(2), "", want(1)).devices == ("a/nvidia.com/gpu/0",)


def test_running_node_that_is_silent_for_a_moment_is_not_gone(cluster: Cluster) -> None:
    cluster.nodes(node("a", is_ready=False), node("b", is_ready=False))
    assert cluster.counts() == (4, 0, 0, 4, 4)


def test_other_processes_see_what_changed(cluster: Cluster) -> None:
    other = Cluster(cluster.database, cluster.head_file, catalog=CLUSTER_CATALOG)
    assert other.counts() == cluster.counts() == (4, 4, 0, 0, 4)
    cluster.nodes(node("a"))
    assert other.counts() == (2, 2, 0, 0, 4)
    held = other.hold(person(1), "", want(2))
    other.hold(person(2), "x", want(2))
    cluster.capacity.place(held.id, "new")
    assert other.counts() == cluster.counts()


def test_same_nodes_again_write_nothing(cluster: Cluster) -> None:
    with cluster.database.read() as connection:
        before = connection.execute(select(schema.capacity_pools.c.version)).scalar_one()
    cluster.clock.move(seconds=5)
    cluster.nodes(node("a"), node("b"))
    with cluster.database.read() as connection:
        after = connection.execute(select(schema.capacity_pools)).mappings().one()
    assert (after["version"], after["place"], after["updated_at"]) == (before, "cluster", cluster.clock.now - timedelta(seconds=5))


def test_why_replays_in_a_cluster(cluster: Cluster) -> None:
    held = cluster.hold(person(1), "", want(2))
    with pytest.raises(QuotaExceededError):
        cluster.hold(STAFF, "x", want(4))
    cluster.nodes()
    record = cluster.enforcer.why(held.id)
    assert record.is_reproduced
    assert record.replayed.devices == held.devices
    with cluster.database.read() as connection:
        rows = connection.execute(select(schema.decisions.c.id, schema.decisions.c.outcome)).all()
    assert {cluster.enforcer.replay(row.id).outcome.value for row in rows} == {"admit", "deny"}


def test_holds_placements_and_registrations_at_once_promise_nothing_twice(database: Database, database_url: str, tmp_path: Path) -> None:
    patient = Database(url=database_url, lock_timeout=timedelta(seconds=60))
    catalog = replace(CLUSTER_CATALOG, node_pools={})
    workers = [Cluster(patient, tmp_path / "head.json", catalog=catalog) for _ in range(3)]
    workers[0].nodes(node("a"), node("b"), node("c", 4))

    def one(number: int) -> bool:
        worker = workers[number % 3]
        if number % 5 == 0:
            worker.nodes(node("a"), node("b"), node("c", 4))
            return False
        try:
            held = worker.hold(person(number), "", want(1 + number % 2))
        except CapacityError:
            return False
        worker.capacity.place(held.id, slot_of(held.devices[0]).node)
        return True

    with ThreadPoolExecutor(12) as pool:
        assert any(pool.map(one, range(1, 40)))
    opened = workers[0].open()
    devices = [device for allocation in opened for device in allocation.devices]
    assert len(devices) == len(set(devices)) == len(workers[0].leased()) <= 8
    assert all(len({slot_of(device).host for device in allocation.devices}) == 1 for allocation in opened)
    patient.close()


def test_stale_read_is_never_kept_after_a_wait_for_the_lock(cluster: Cluster, database_url: str) -> None:
    """What a decision read before it got the lock may be old; it must not be taken for the newest later."""
    patient = Database(url=database_url, lock_timeout=timedelta(seconds=30))
    store = DeviceStore()
    with ThreadPoolExecutor(1) as pool:
        with cluster.database.write() as connection:
            cluster.devices.lock(connection)
            waiting = pool.submit(_locked_pool, store, patient)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.5)
            cluster.devices.register_cluster(connection, (), (), memory_bytes=1, cpu_cores=1, at=cluster.clock.now)
        assert waiting.result() == 0
    assert _locked_pool(store, patient) == 0
    patient.close()


def _locked_pool(store: DeviceStore, database: Database) -> int:
    with database.write() as connection:
        pool = store.pool(connection, is_locking=True)
    assert pool is not None
    return len(pool.devices)


@pytest.mark.parametrize("foreign", [{}, {("b", GPU): 1}, {("b", GPU): 2}])
def test_decisions_are_held_up_only_when_something_changed(cluster: Cluster, locks: list[str], foreign: dict[tuple[str, str], int]) -> None:
    cluster.nodes(node("a"), node("b"), foreign=foreign)
    before = cluster.counts()
    locks.clear()
    for _ in range(3):
        cluster.nodes(node("a"), node("b"), foreign=foreign)
    assert (locks, cluster.counts()) == ([], before)


def test_a_lost_node_with_a_session_holds_nobody_up_for_ever(cluster: Cluster, locks: list[str]) -> None:
    held = cluster.hold(person(1), "", want(1))
    cluster.nodes(node("b"))
    lost = cluster.counts()
    locks.clear()
    cluster.nodes(node("b"))
    assert (locks, cluster.counts()) == ([], lost)
    end(cluster, held.id)
    cluster.nodes(node("b"))
    assert locks
    assert cluster.counts()[0] == lost[0] - 1


@pytest.mark.parametrize(
    "changed",
    [
        [node("a"), node("b", works=1)],
        [node("a"), node("b", is_ready=False)],
        [node("a")],
        [node("a"), node("b"), node("c")],
        [node("a"), replace(node("b"), memory_bytes=32 * GIB)],
        [node("a"), replace(node("b"), cpu_cores=8)],
    ],
)
def test_every_change_of_a_node_is_stored(cluster: Cluster, database: Database, tmp_path: Path, changed: list[NodeView]) -> None:
    cluster.nodes(*changed)
    with database.read() as connection:
        stored = DeviceStore().pool(connection)
        devices = connection.execute(select(schema.gpu_devices.c.uuid).where(schema.gpu_devices.c.present.is_(True))).all()
    cluster.nodes(node("a"), node("b"))
    cluster.devices.is_as_stored = lambda *_: False  # type: ignore[method-assign]
    cluster.nodes(*changed)
    with database.read() as connection:
        assert DeviceStore().pool(connection) == stored
        assert connection.execute(select(schema.gpu_devices.c.uuid).where(schema.gpu_devices.c.present.is_(True))).all() == devices


def test_foreign_pods_are_stored_when_they_come_and_go(cluster: Cluster) -> None:
    free = cluster.counts()[1]
    cluster.nodes(node("a"), node("b"), foreign={("b", GPU): 1})
    assert cluster.counts()[1] == free - 1
    cluster.nodes(node("a"), node("b"))
    assert cluster.counts()[1] == free
