"""The migrations make the tables of the schema, can be taken back, and run once however many processes start at once."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Inspector, Uuid, bindparam, inspect, text
from sqlalchemy.engine import make_url

from aiplatform_hub.domain.allocations import EndCause, GpuDevice
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.storage import (  # noqa: F401  their tables belong to the metadata
    budget_tables,
    charge_rollup_tables,
    credit_tables,
    dispute_tables,
    energy_tables,
    invoice_tables,
    limit_grant_tables,
    membership_tables,
    rate_card_tables,
    session_move_tables,
    storage_sample_tables,
)
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Database, TakenError
from aiplatform_hub.storage.devices import DeviceStore, Pool
from aiplatform_hub.storage.migrate import VERSION_TABLE, check_current, downgrade, upgrade
from aiplatform_hub.storage.schema import metadata

ROOT = Path(__file__).parents[2]


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def indexes(look: Inspector, table: str) -> list[tuple[object, ...]]:
    """Return each index with its condition as text."""
    return sorted(
        (i["name"], i["column_names"], i["unique"], {key: str(value) for key, value in i.get("dialect_options", {}).items()}) for i in look.get_indexes(table)
    )


def test_migrations_make_the_schema(database: Database) -> None:
    options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_partial_indexes_and_checks_are_migrated_word_for_word(database: Database, empty_database_url: str) -> None:
    """Alembic's comparison does not look at conditions; the database's own description does."""
    if database.is_sqlite != empty_database_url.startswith("sqlite"):
        return
    if database.is_sqlite:
        Path(make_url(empty_database_url).database or "").with_name("plain.sqlite").touch()
        empty_database_url = empty_database_url.replace("platform.sqlite", "plain.sqlite")
    plain = Database(url=empty_database_url)
    metadata.create_all(plain.engine)
    made, wanted = inspect(database.engine), inspect(plain.engine)
    for table in metadata.tables:
        assert indexes(made, table) == indexes(wanted, table)
        by_name = [sorted(look.get_check_constraints(table), key=lambda check: str(check["name"])) for look in (made, wanted)]
        assert by_name[0] == by_name[1]
        keys = [sorted(look.get_foreign_keys(table), key=lambda key: str(key["name"])) for look in (made, wanted)]
        assert keys[0] == keys[1]
    plain.close()


def test_downgrade_removes_every_table_and_upgrade_brings_them_back(database: Database) -> None:
    check_current(database)
    downgrade(database.url, "base")
    assert tables(database) == {VERSION_TABLE}
    with pytest.raises(ConfigurationError, match="aiplatform migrate"):
        check_current(database)
    upgrade(database.url)
    check_current(database)


def test_rows_of_the_first_version_survive_the_second_both_ways(database: Database) -> None:
    downgrade(database.url, "0001")
    before = "INSERT INTO capacity_pools (name, memory_bytes, cpu_cores, updated_at) VALUES ('machine', 1, 1, 1)"
    device = (
        "INSERT INTO gpu_devices (uuid, pool, gpu_type, product_name, memory_bytes, device_index, healthy, simulated, updated_at) "
        "VALUES ('GPU-0', 'machine', 'h100', '', 1, 0, true, false, 1)"
    )
    with database.write() as connection:
        connection.execute(text(before))
        connection.execute(text(device))
    upgrade(database.url)
    with database.read() as connection:
        pool = DeviceStore().pool(connection)
    assert pool == Pool(1, 1, (GpuDevice("GPU-0", "h100", 1),))
    downgrade(database.url, "0001")
    with database.read() as connection:
        assert connection.execute(text("SELECT uuid FROM gpu_devices")).scalars().all() == ["GPU-0"]
    upgrade(database.url)
    check_current(database)


def test_announcements_come_and_go_with_their_version(database: Database) -> None:
    downgrade(database.url, "0007")
    assert not {"announcements", "hidden_allocations"} & tables(database)
    upgrade(database.url)
    check_current(database)
    assert {"announcements", "hidden_allocations"} <= tables(database)


def test_rate_cards_and_tiers_come_and_go_with_their_version(database: Database) -> None:
    downgrade(database.url, "0013")
    assert "rate_cards" not in tables(database)
    assert "tier" not in {column["name"] for column in inspect(database.engine).get_columns("allocations")}
    upgrade(database.url)
    check_current(database)
    assert "rate_cards" in tables(database)
    assert "tier" in {column["name"] for column in inspect(database.engine).get_columns("allocations")}


def test_sums_of_days_come_and_go_with_their_version(database: Database) -> None:
    downgrade(database.url, "0015")
    downgrade(database.url, "-1")
    assert not {"charge_days", "charge_sums", "charge_activity", "charge_rollup"} & tables(database)
    upgrade(database.url)
    check_current(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT name, sequence, changes FROM charge_rollup")).all() == [("ledger", 0, 0)]


LIVE = (
    "INSERT INTO allocations (id, user_id, user_name, server_name, environment_template, gpus, memory_bytes, cpu_cores, project, cost_centre, state, devices, "
    "door, actor, requested_at, queued_at, confirmed_at, end_cause) VALUES (:id, 1, 'a', :name, 'jupyterlab', 1, 1, 1, 'p', 'c', :state, '[]', 'rest', 'a', 5, :at, :at, :cause)"
)


def add(connection: Connection, name: str, state: str, *, cause: str | None = None) -> UUID:
    id_, at = uuid4(), 5 if state == "queued" else None
    connection.execute(text(LIVE).bindparams(bindparam("id", type_=Uuid())), {"id": id_, "name": name, "state": state, "at": at, "cause": cause})
    return id_


@pytest.mark.parametrize("other", ["queued", "held", "active"])
def test_server_has_one_allocation_that_waits_or_is_open(database: Database, other: str) -> None:
    with database.write() as connection:
        add(connection, "s", "queued")
        add(connection, "s", "ended")
        add(connection, "t", other)
    with pytest.raises(TakenError), database.write() as connection:
        add(connection, "s", other)


def test_version_before_the_queue_finds_nobody_waiting_and_no_cause_it_does_not_know(database: Database) -> None:
    with database.write() as connection:
        waiting, gone, open_ = add(connection, "a", "queued"), add(connection, "b", "expired", cause="owner_gone"), add(connection, "c", "held")
    downgrade(database.url, "0004")
    with database.read() as connection:
        rows = {row.server_name: row for row in connection.execute(text("SELECT server_name, state, end_cause, ended_at FROM allocations"))}
    assert tuple(rows["a"])[1:] == ("withdrawn", "stopped", 5)
    assert rows["b"].end_cause == "hold_expired"
    assert rows["c"].state == "held"
    upgrade(database.url)
    check_current(database)
    with database.read() as connection:
        live = AllocationStore().live(connection)
        assert (live.queued, [allocation.id for allocation in live.open]) == ((), [open_])
        assert AllocationStore().find(connection, waiting).requeued == 0
        assert AllocationStore().find(connection, gone).end_cause is EndCause.HOLD_EXPIRED


def test_slot_of_the_longest_node_name_is_stored(database: Database) -> None:
    node = ".".join(["n" * 60] * 4)
    device = GpuDevice(f"{node}/nvidia.com/mig-1g.10gb/0", "h100", 0, node=node)
    now = datetime(2026, 11, 24, tzinfo=UTC)
    with database.write() as connection:
        DeviceStore().register_cluster(connection, (device,), (), memory_bytes=1, cpu_cores=1, at=now)
    with database.read() as connection:
        assert DeviceStore().pool(connection) == Pool(1, 1, (device,), is_cluster=True)


def test_database_that_was_never_migrated_is_not_current(empty_database_url: str) -> None:
    if empty_database_url.startswith("sqlite"):
        Path(make_url(empty_database_url).database or "").touch()
    database = Database(url=empty_database_url)
    with pytest.raises(ConfigurationError, match="version none"):
        check_current(database)
    database.close()


def test_several_processes_may_upgrade_at_once(empty_database_url: str) -> None:
    program = "import sys; from aiplatform_hub.storage.migrate import upgrade; upgrade(sys.argv[1])"
    workers = [subprocess.Popen([sys.executable, "-c", program, empty_database_url], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(worker.wait(), worker.stderr.read() if worker.stderr else "") for worker in workers] == [(0, "")] * 4
    database = Database(url=empty_database_url)
    check_current(database)
    assert tables(database) == {*metadata.tables, VERSION_TABLE}
    database.close()


def test_new_database_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "platform.sqlite"
    upgrade(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
