"""Tell the platform that it really moved to another cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, operator_name, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cluster_home import Move
from aiplatform_hub.storage.migrate import check_current

COLUMNS = {"user": "user", "server": "server", "state": "state", "gpus": "GPUs", "started_at": "started", "last_seen_at": "last seen"}


@click.command("move-cluster")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def move_cluster(*, yes: bool, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Let the database belong to the cluster where a keeper waits.

    Needed after a move to another cluster or namespace: until then the keeper there does nothing.
    Shows what is open; of it, what does not run there ends as lost, at its last proof of life.
    Without --yes it asks first; with --json and without --yes it only shows.
    """
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    move = factory.cluster_home.plan()
    if as_json:
        print_json(_values(move))
    else:
        _show(move)
    if not yes and (as_json or not click.confirm("Move the database to that cluster?")):
        return
    factory.cluster_home.move(move, operator_name())
    if not as_json:
        say("Moved. The keeper there begins within a few seconds.")


def _show(move: Move) -> None:
    say(f"The database belongs to {move.home}." if move.home else "The database belongs to no known cluster.")
    say(f"A keeper waits in {move.to.identity}, seen {move.to.seen_at:%Y-%m-%d %H:%M:%S} UTC.")
    if not move.ending:
        say("Nothing is open.")
        return
    say("What of this does not run there ends as lost, at its last proof of life, marked as estimated:")
    print_table(_rows(move), COLUMNS)


def _values(move: Move) -> dict[str, Any]:
    return {"from": str(move.home) if move.home else None, "to": str(move.to.identity), "open": _rows(move)}


def _rows(move: Move) -> list[dict[str, Any]]:
    return [
        {
            "user": allocation.user_name,
            "server": allocation.server_name,
            "state": allocation.state.value,
            "gpus": allocation.request.gpus,
            "started_at": isoformat(allocation.started_at) if allocation.started_at else None,
            "last_seen_at": isoformat(seen_at) if seen_at else None,
        }
        for allocation, seen_at in move.ending
    ]
