"""``aiplatform replay``: the queue at some time as the planner saw it, and the same decisions again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, settings_of
from aiplatform_hub.cli.output import REFUSED, guarded, json_option, print_json, print_table
from aiplatform_hub.domain.queue_sentences import span
from aiplatform_hub.domain.queue_values import Decision, Plan
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.queue_json import line_to_json, plan_to_json
from aiplatform_hub.operations.queue_memory import Replayed
from aiplatform_hub.storage.migrate import check_current


def _instant(_context: click.Context, parameter: click.Parameter, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"{text!r} is no time. Write for example 2026-11-28T14:30 or 2026-11-28T15:30+01:00; without a zone it is UTC."
        raise click.BadParameter(message, param=parameter) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


@click.command()
@click.option(
    "--at", "instant", required=True, callback=_instant, metavar="TIME", help="Such as 2026-11-28T14:30 or 2026-11-28T15:30+01:00; without a zone UTC."
)
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def replay(instant: datetime, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Show the queue as the planner saw it at TIME, what it decided, and whether it would decide the same today.

    Passes over the queue are remembered for 30 days, those that found something else than the one before. Exit code 1 if the same
    inputs give another plan today.
    """
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    found = factory.queue_memory.replay(instant)
    if as_json:
        print_json(_values(found))
    else:
        _show(found)
    if not found.agrees:
        raise SystemExit(REFUSED)


def _values(found: Replayed) -> dict[str, Any]:
    return {
        "at": isoformat(found.at),
        "inputs": line_to_json(found.line),
        "plan": plan_to_json(found.found),
        "replayed_plan": plan_to_json(found.again),
        "agrees": found.agrees,
    }


def _show(found: Replayed) -> None:
    line = found.line
    click.echo(f"The pass at {found.at:%Y-%m-%d %H:%M:%S} UTC: {len(line.running)} running with GPUs, {len(line.waiting)} waiting for GPUs.\n")
    running = [
        {
            "id": session.id[:8],
            "user": session.person.user,
            "project": session.person.project,
            "server": _server(found, session.id),
            "gpus": session.gpus,
            "node": session.node,
            "left": span(max(0.0, session.expected_end_seconds - line.now_seconds)),
            "takeable": None if session.takeable_from_seconds is None else span(max(0.0, session.takeable_from_seconds - line.now_seconds)),
        }
        for session in line.running
    ]
    columns = {
        "id": "id",
        "user": "user",
        "project": "project",
        "server": "server",
        "gpus": "gpus",
        "node": "node",
        "left": "ends in",
        "takeable": "takeable in",
    }
    print_table(running, columns, empty="Nothing ran with GPUs.")
    click.echo()
    _show_plan(found, found.found)
    if found.agrees:
        click.echo("\nThe same inputs give the same plan today.")
    else:
        click.echo("\nToday the same inputs give another plan:\n")
        _show_plan(found, found.again)


def _show_plan(found: Replayed, plan: Plan) -> None:
    columns = {
        "place": "place",
        "id": "id",
        "user": "user",
        "server": "server",
        "gpus": "gpus",
        "waited": "waited",
        "rank": "share place",
        "decision": "decision",
        "node": "node",
        "until": "until",
        "because": "because of",
    }
    print_table([_decided(found, each) for each in plan.decisions], columns, empty="Nobody waited for GPUs.")


def _decided(found: Replayed, decision: Decision) -> dict[str, Any]:
    line = found.line
    request = next(each for each in line.waiting if each.id == decision.request_id)
    return {
        "place": decision.position,
        "id": request.id[:8],
        "user": request.person.user,
        "server": _server(found, request.id),
        "gpus": request.gpus,
        "waited": span(max(0.0, line.now_seconds - request.requested_seconds)),
        "rank": line.ranks[request.person] + 1,
        "decision": decision.code.value,
        "node": decision.node or None,
        "until": None if decision.until_seconds is None else datetime.fromtimestamp(decision.until_seconds, UTC).strftime("%H:%M:%S"),
        "because": [word[:8] for word in decision.because_of],
    }


def _server(found: Replayed, id_: str) -> str | None:
    allocation = found.allocations.get(id_)
    return None if allocation is None else allocation.server_name
