"""A database with a long history: ended allocations, each with decision, lease and closed interval."""

from __future__ import annotations

from aiplatform_hub.storage.database import Database

SPACING_MICROSECONDS = 40_000_000
"""One allocation every 40 s: 10^6 of them are 15 months."""
FIRST = 1_750_000_000_000_000
"""When the first one began, in microseconds since the epoch: June 2025."""
_INPUTS = '{"request": {"environment_template": "pytorch", "gpus": 1}, "limits": [{"dimension": "gpus", "amount": "2", "scope": "user"}]}'
_SHARED = """
    n, (n % 5000) AS user_id, 'user' || (n % 5000) AS user_name, 'project-' || (n % 40) AS project, 'centre-' || (n % 7) AS cost_centre,
    'GPU-' || (n % 4) AS device, {first} + n * {spacing} AS started_at, {first} + n * {spacing} + 600000000 + (n % 86400) * {second} AS ended_at
"""
_NUMBERS = {
    "sqlite": "CREATE TEMP TABLE history AS WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < {count})"
    " SELECT lower(hex(randomblob(16))) AS id, {shared} FROM counter",
    "postgresql": "CREATE TEMP TABLE history AS SELECT gen_random_uuid() AS id, {shared} FROM generate_series(1, {count}) AS n",
}
_SETTINGS = {
    "sqlite": ("PRAGMA cache_size=-1000000", "PRAGMA synchronous=OFF", "PRAGMA foreign_keys=OFF"),
    "postgresql": ("SET statement_timeout=0", "SET lock_timeout=0", "SET synchronous_commit=off", "SET session_replication_role=replica"),
}
"""What makes the filling fast: rows that are right by construction are neither checked nor synced one by one."""
_HISTORY = (
    """
    INSERT INTO allocations (id, user_id, user_name, server_name, environment_template, gpus, gpu_type, memory_bytes, cpu_cores, project, cost_centre, state,
                             devices, door, actor, requested_at, held_at, starting_at, started_at, ended_at, end_cause)
    SELECT id, user_id, user_name, 'pytorch', 'pytorch', 1, 'h100', 17179869184, 4, project, cost_centre, 'ended',
           CAST('["' || device || '"]' AS {json}), 'rest', user_name, started_at, started_at, started_at, started_at, ended_at, 'stopped_by_user' FROM history
    """,
    "INSERT INTO gpu_leases (device_uuid, allocation_id, released_at) SELECT device, id, ended_at FROM history",
    """
    INSERT INTO usage_intervals (id, allocation_id, user_id, user_name, project, cost_centre, environment_template, gpus, gpu_type, memory_bytes, cpu_cores,
                                 started_at, ended_at, end_cause, estimated, sequence, previous_hash, hash)
    SELECT id, id, user_id, user_name, project, cost_centre, 'pytorch', 1, 'h100', 17179869184, 4, started_at, ended_at, 'stopped_by_user', false,
           n, 'hash-' || (n - 1), 'hash-' || n FROM history
    """,
    """
    INSERT INTO decisions (id, allocation_id, at, actor, outcome, inputs, reasons)
    SELECT id, id, started_at, user_name, 'admit', CAST('{inputs}' AS {json}), CAST('[]' AS {json}) FROM history
    """,
)
_WHOLE = (
    """
    INSERT INTO allocation_events (allocation_id, at, from_state, to_state, cause, actor) SELECT id, started_at, 'held', 'active', 'started', 'hub' FROM history
    """,
    """
    INSERT INTO allocation_events (allocation_id, at, from_state, to_state, cause, actor)
    SELECT id, ended_at, 'active', 'ended', 'stopped_by_user', 'hub' FROM history
    """,
    """
    INSERT INTO activity_intervals (allocation_id, activity, started_at, ended_at, last_seen_at, samples, mean_utilisation_percent)
    SELECT id, 'used', started_at, started_at + (ended_at - started_at) / 2, started_at + (ended_at - started_at) / 2, 10, 80 FROM history
    """,
    """
    INSERT INTO activity_intervals (allocation_id, activity, started_at, ended_at, last_seen_at, samples, mean_utilisation_percent)
    SELECT id, 'idle', started_at + (ended_at - started_at) / 2, ended_at, ended_at, 10, 1 FROM history
    """,
)
"""What pages read beside it: each transition, and what the GPUs did."""


def fill(database: Database, count: int, *, first: int = FIRST, is_whole: bool = False) -> None:
    """Write the history, then gather the statistics that a database of that age has.

    Parameters
    ----------
    first
        When it begins, in microseconds since the epoch.
    is_whole
        Whether to write transitions and activity, too.
    """
    kind, json, second = ("sqlite", "TEXT", "1000000") if database.is_sqlite else ("postgresql", "JSON", "1000000::bigint")
    shared = _SHARED.format(
        first=first if database.is_sqlite else f"{first}::bigint",
        spacing=SPACING_MICROSECONDS if database.is_sqlite else f"{SPACING_MICROSECONDS}::bigint",
        second=second,
    )
    engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.detach()  # the settings below are for this connection alone
        driver = connection.connection.cursor()
        for setting in _SETTINGS[kind]:
            driver.execute(setting)
        driver.execute(_NUMBERS[kind].replace("{count}", str(count)).replace("{shared}", shared))
        for statement in (*_HISTORY, *(_WHOLE if is_whole else ())):
            driver.execute(statement.replace("{inputs}", _INPUTS).replace("{json}", json))
        driver.execute("DROP TABLE history")
        driver.execute("ANALYZE")
        if database.is_sqlite:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            connection.exec_driver_sql("VACUUM ANALYZE")
