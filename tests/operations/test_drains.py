"""Nothing new starts on what is drained, at any door and out of the queue; what runs there goes on; it can be undone."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.drains import DrainKind
from aiplatform_hub.domain.policy import FIFO
from aiplatform_hub.domain.queueing import WaitCode
from aiplatform_hub.errors import CapacityError, ConflictError, InvalidOptionError, NotFoundError, ServiceUnavailableError
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.operations.drains import Drains
from aiplatform_hub.storage import schema
from aiplatform_hub.storage.audit import AuditStore
from aiplatform_hub.storage.drains import DrainStore
from tests.support.chain import Chain, person, want


@pytest.fixture
def box(chain: Chain) -> Chain:
    return Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)


def drains(chain: Chain) -> Drains:
    trail = AuditTrail(database=chain.database, audit=AuditStore(), clock=chain.clock)
    return Drains(database=chain.database, devices=chain.devices, allocations=chain.allocations, drains=DrainStore(), audit_trail=trail, clock=chain.clock)


def uuids(chain: Chain) -> list[str]:
    with chain.database.read() as connection:
        pool = chain.devices.pool(connection)
    assert pool is not None
    return [device.uuid for device in pool.devices]


def other_process(chain: Chain) -> Chain:
    """One that has read the GPUs before, as the hub has."""
    found = Chain(chain.database, chain.head_file, chain.clock, policy=FIFO)
    uuids(found)
    return found


def test_no_door_gives_out_a_drained_gpu(box: Chain) -> None:
    hub = other_process(box)
    first = uuids(box)[0]
    drains(box).drain(DrainKind.GPU, first, by="boss", reason="a fan")
    held = [*hub.hold(person(1), "a", want(2)).devices, *hub.hold(person(2), "b", want(1)).devices]
    assert sorted(held) == uuids(box)[1:]
    with pytest.raises(CapacityError, match="none is free now, 1 is drained by an admin"):
        hub.hold(person(3), "c", want(1))
    (capacity,) = hub.enforcer.capacity()
    assert (capacity.total, capacity.free, capacity.held, capacity.unhealthy, capacity.drained) == (4, 0, 3, 0, 1)


def test_what_runs_goes_on_and_its_gpu_is_not_given_out_after_it(box: Chain) -> None:
    session = box.hold(person(1), "a", want(1))
    box.hold(person(2), "b", want(2))
    drain, on_it = drains(box).drain(DrainKind.GPU, session.devices[0], by="boss", reason="a fan")
    assert [each.id for each in on_it] == [session.id]
    assert box.find(session).is_open
    waits = box.queue(person(3), "c", want(2))
    box.dispatch()
    box.end(session)
    assert box.dispatch().held == (), "one of the two that are not held is drained"
    assert drains(box).standing() == {drain: ()}
    drains(box).undo(drain.id, by="boss")
    assert [held.id for held in box.dispatch().held] == [waits.id]


def test_nobody_reserves_what_will_not_be_given_out(box: Chain) -> None:
    """The planner counts a drained GPU out while its session still runs."""
    session = box.hold(person(1), "a", want(1))
    for uuid in [*session.devices, *[uuid for uuid in uuids(box) if uuid not in session.devices][:2]]:
        drains(box).drain(DrainKind.GPU, uuid, by="boss", reason="a fan")
    large = box.queue(person(4), "large", want(2))
    small = box.queue(person(5), "small", want(1))
    assert small.is_open, "it does not wait behind what cannot start"
    box.dispatch()
    (entry,) = box.desk.entries()
    assert (entry.id, entry.reason.code) == (large.id, WaitCode.TOO_LARGE)
    assert box.find(large).is_queued, "a drain passes: nothing is refused for good"


def test_the_whole_machine_is_drained_and_given_out_again(box: Chain) -> None:
    hub = other_process(box)
    drain, on_it = drains(box).drain(DrainKind.NODE, "machine", by="boss", reason="new drivers")
    assert on_it == ()
    with pytest.raises(CapacityError, match="4 are drained"):
        hub.hold(person(1), "a", want(1))
    assert hub.hold(person(1), "no-gpu", want(0)).is_open
    drains(box).undo(drain.id, by="boss")
    assert hub.hold(person(2), "b", want(2)).is_open


def test_a_new_registration_of_the_gpus_does_not_undo_it(box: Chain) -> None:
    first = uuids(box)[0]
    drains(box).drain(DrainKind.GPU, first, by="boss", reason="a fan")
    with box.database.write() as connection:
        pool = box.devices.pool(connection)
        assert pool is not None
        box.devices.register(connection, pool.devices[1:], memory_bytes=pool.memory_bytes, cpu_cores=pool.cpu_cores, at=box.clock())
        box.devices.register(connection, pool.devices, memory_bytes=pool.memory_bytes, cpu_cores=pool.cpu_cores, at=box.clock())
    (capacity,) = other_process(box).enforcer.capacity()
    assert (capacity.free, capacity.drained) == (3, 1)


def test_each_act_is_audited_in_its_own_transaction(box: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, first = drains(box), uuids(box)[0]
    drain, _ = desk.drain(DrainKind.GPU, first, by="boss", reason="a fan")
    desk.undo(drain.id, by="chief")
    desk.undo(drain.id, by="chief")
    with box.database.read() as connection:
        rows = connection.execute(select(schema.audit_events).order_by(schema.audit_events.c.id)).mappings()
        found = [(row["actor"], row["action"], row["target"], row["detail"]) for row in rows]
    assert found == [("boss", "drain", f"gpu:{first}", {"reason": "a fan"}), ("chief", "undo_drain", f"gpu:{first}", {})]
    monkeypatch.setattr(desk._audit_trail, "record", refuse)
    with pytest.raises(ServiceUnavailableError):
        desk.drain(DrainKind.GPU, first, by="boss", reason="a fan")
    assert desk.standing() == {}


def refuse(*_: object, **__: object) -> None:
    raise ServiceUnavailableError("The database does not answer.")


def test_what_cannot_be_drained_is_refused(box: Chain) -> None:
    desk, first = drains(box), uuids(box)[0]
    for kind, target in ((DrainKind.GPU, "GPU-9"), (DrainKind.NODE, "node-1")):
        with pytest.raises(InvalidOptionError, match="There is no"):
            desk.drain(kind, target, by="boss", reason="a fan")
    desk.drain(DrainKind.GPU, first, by="boss", reason="a fan")
    with pytest.raises(ConflictError, match="drained already"):
        desk.drain(DrainKind.GPU, first, by="boss", reason="a fan")
    with pytest.raises(NotFoundError):
        desk.undo(99, by="boss")


def test_in_a_cluster_the_scheduler_has_to_be_told(box: Chain) -> None:
    with box.database.write() as connection:
        box.devices.register_cluster(connection, (), (), memory_bytes=1, cpu_cores=1, at=box.clock())
    with pytest.raises(ConflictError, match="kubectl cordon"):
        drains(box).drain(DrainKind.NODE, "node-1", by="boss", reason="a fan")
