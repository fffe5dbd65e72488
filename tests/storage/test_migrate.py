"""The migrations make the tables of the schema, can be taken back, and run once however many processes start at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Inspector, inspect
from sqlalchemy.engine import make_url

from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.storage.database import Database
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
