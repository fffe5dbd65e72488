"""Commands for users. They talk REST only, with ``AIPLATFORM_URL`` and ``AIPLATFORM_TOKEN``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any

import click

from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table
from aiplatform_hub.cli.rest import LIVE_STATES, RestClient, path_word
from aiplatform_hub.cli.waits import place_and_wait
from aiplatform_hub.domain.queue_sentences import place
from aiplatform_hub.domain.units import format_bytes, format_number
from aiplatform_hub.errors import ConfigurationError

MISSING = "Set {name}: {hint}"
OUTCOMES = {"admit": "Admitted", "queue": "Queued", "ask": "Put before an admin", "deny": "Refused"}
GROUPS = ("user", "project", "cost_centre", "environment_template", "gpu_type", "allocation", "day", "week", "month")


def rest_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command its client, ``--json`` and its exit codes."""

    @json_option
    @click.option("--url", envvar="AIPLATFORM_URL", default="", help="The hub's address; default: AIPLATFORM_URL.")
    @click.option("--token", envvar="AIPLATFORM_TOKEN", default="", help="An API token; default: AIPLATFORM_TOKEN, which no process list shows.")
    @guarded
    @wraps(command)
    def with_client(*, url: str, token: str, **options: Any) -> None:
        if not url:
            raise ConfigurationError(MISSING.format(name="AIPLATFORM_URL", hint="the address of the hub, as in a browser."))
        if not token:
            raise ConfigurationError(MISSING.format(name="AIPLATFORM_TOKEN", hint=f"get one at {url.rstrip('/')}/hub/token."))
        command(RestClient(url=url, token=token), **options)

    return with_client


@click.command()
@rest_command
def catalog(client: RestClient, *, as_json: bool) -> None:
    """Show what can be launched, and what it costs."""
    found = client.get("catalog")
    if as_json:
        print_json(found)
        return
    rows = [
        {**t, "gpus": _range(t["gpus"]), "memory": f"{_range(t['memory_gib'])} GiB", "note": t["unavailable_reason"] or ""}
        for t in found["environment_templates"]
    ]
    print_table(rows, {"name": "template", "display_name": "name", "gpus": "gpus", "memory": "memory", "note": "note"})
    prices = [{**t, "price": f"{t['price_per_gpu_hour']} {t['currency']}"} for t in found["gpu_types"] if t["price_per_gpu_hour"] is not None]
    click.echo()
    print_table(prices, {"name": "gpu type", "display_name": "name", "price": "per GPU-hour"})
    click.echo(f"\nWithout GPUs: {found['cpu_only_price_per_hour']} {found['currency']} per hour.")


@click.command()
@rest_command
def capacity(client: RestClient, *, as_json: bool) -> None:
    """Show which GPUs are free now."""
    found = client.get("capacity")
    if as_json:
        print_json(found)
        return
    columns = {"name": "gpu type", "total": "total", "free": "free", "held": "held", "unhealthy": "unhealthy", "simulated": "simulated"}
    if any(row.get("drained") for row in found["gpu_types"]):
        columns |= {"drained": "drained"}
    if any(row.get("startable") for row in found["gpu_types"]):
        columns |= {"startable": "may start", "minutes_to_start": "about minutes"}
    print_table(found["gpu_types"], columns, empty="There are no GPUs here.")
    if found.get("gpus"):
        click.echo()
        print_table([_gpu_row(row) for row in found["gpus"]], {"gpu": "gpu", "type": "type", "use": "utilisation", "memory": "memory", "holder": "held by"})
    if found["queue_length"]:
        waiting = "1 request waits" if found["queue_length"] == 1 else f"{found['queue_length']} requests wait"
        click.echo(f"\n{waiting}; see: aiplatform queue")


def _gpu_row(row: Mapping[str, Any]) -> dict[str, str]:
    use, memory = row["utilisation_percent"], row["memory_used_bytes"]
    return {
        "gpu": str(row["index"]),
        "type": row["gpu_type"],
        "use": "unknown" if use is None else f"{use:.0f} %",
        "memory": "unknown" if memory is None else f"{format_bytes(memory)} of {format_bytes(row['memory_bytes'])}",
        "holder": (row["allocation_id"] or "-")[:8],
    }


@click.command()
@click.argument("user", required=False)
@rest_command
def quota(client: RestClient, user: str | None, *, as_json: bool) -> None:
    """Show the limits of USER (you, by default) and what is used of them."""
    found = client.get(f"users/{path_word(user or client.my_name())}/quota")
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['user']}: tier {found['tier']}")
    rows = [
        {
            "dimension": _dimension(row),
            "used": _amount(row["used"], row["unit"]),
            "limit": _amount(row["limit"], row["unit"]),
            "free": _amount(row["free"], row["unit"]),
            "held_by": row["held_by"],
        }
        for row in found["limits"]
    ]
    print_table(rows, {"dimension": "what", "used": "used", "limit": "limit", "free": "free", "held_by": "held by"})


def show_reasons(reasons: list[dict[str, Any]]) -> None:
    """Print reasons with what to do about each."""
    for reason in reasons:
        click.echo(f"  {reason['message']}")
        for remedy in reason["remedies"]:
            click.echo(f"    - {remedy}")


@click.command(name="list")
@click.option("--all", "is_all", is_flag=True, help="Ended and refused ones too.")
@click.option("--state", multiple=True, help="Only these states.")
@click.option("--user", help="Only this person's.")
@click.option("--project", help="Only this project's.")
@click.option("--most", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most rows.")
@rest_command
def list_(client: RestClient, *, is_all: bool, most: int, as_json: bool, **filters: Any) -> None:
    """List sessions: those that are open or queued, by default."""
    filters["state"] = filters["state"] or (() if is_all else LIVE_STATES)
    found = client.allocations(most=most, **filters)
    if as_json:
        print_json(found)
        return
    rows = [
        {**entry, "short": entry["id"][:8], "gpu": gpus_of(entry), "state": _state(entry), "since": local(entry["started_at"] or entry["requested_at"])}
        for entry in found
    ]
    columns = {"short": "id", "user": "user", "server_name": "server", "environment_template": "template", "gpu": "gpus", "state": "state", "since": "since"}
    print_table(rows, columns, empty="No sessions." if is_all else "No open sessions.")


@click.command()
@click.argument("session")
@rest_command
def show(client: RestClient, session: str, *, as_json: bool) -> None:
    """Show everything about SESSION: an id, its beginning, or the name of a server that is open or queued."""
    found = client.get(f"allocations/{client.find(session)}")
    if as_json:
        print_json(found)
        return
    cost = found["cost_so_far"]
    queue = found["queue"]
    facts = {
        "id": found["id"],
        "user": found["user"],
        "server": found["server_name"],
        "template": found["environment_template"],
        "GPUs": f"{gpus_of(found)} {', '.join(found['devices'])}".strip(),
        "memory": f"{found['memory_gib']} GiB",
        "project": f"{found['project']} (cost centre {found['cost_centre']})",
        "state": found["state"] + (f", {found['end_cause']}" if found["end_cause"] else ""),
        **({"place": place_and_wait(queue), "kept until": f"{local(queue['expires_at'])}, or longer: aiplatform confirm {found['id'][:8]}"} if queue else {}),
        "requested": local(found["requested_at"]),
        "started": local(found["started_at"]),
        **_kept(found["release"]),
        **({"makes room": f"{local(found['must_end_at'])}, when a class begins"} if found["must_end_at"] else {}),
        "ended": local(found["ended_at"]) + (" (estimated)" if found["estimated"] else ""),
        "cost": f"{cost['amount']} {cost['currency']}" if cost else "-",
        **({"energy": _energy(found["energy"])} if found["energy"] else {}),
        "address": client.address_of(found["url"]) if found["url"] else "-",
    }
    for name, value in facts.items():
        click.echo(f"{name:<10} {value}")
    click.echo()
    print_table([{**step, "at": local(step["at"])} for step in found["history"]], {"at": "when", "to": "state", "cause": "why", "actor": "by"})


def _energy(found: dict[str, Any]) -> str:
    carbon = "" if found["carbon_grams"] is None else f", {found['carbon_grams']} g of CO2"
    return f"{found['kwh']} kWh of its GPUs, as far as it was measured{carbon}"


_WHY = {
    "idle": "its GPUs are idle",
    "session_cap": "it is over the longest time of a session",
    "class_begins": "a class begins",
    "preempted": "the cluster's queue wants its GPUs back; it then waits in line again",
}


def _kept(release: Mapping[str, Any] | None) -> dict[str, str]:
    """Return from when a session's GPUs may be taken; nothing where it is not near."""
    if release is None or release["action"] == "keep":
        return {}
    unless = ", once somebody waits for its GPUs" if release["is_if_somebody_waits"] else ""
    longer = "; keep it: aiplatform extend" if release["can_extend_until"] else ""
    return {"may end": f"{local(release['deadline'])}, as {_WHY[release['why']]}{unless}{longer}"}


@click.command()
@click.argument("session")
@click.option("--what-if", "has_alternatives", is_flag=True, help="Say what would become of it with fewer GPUs, too.")
@rest_command
def why(client: RestClient, session: str, *, has_alternatives: bool, as_json: bool) -> None:
    """Explain why SESSION was admitted, queued or refused, by replaying the decision; what it waits for now, and how long."""
    key = client.find(session)
    found = client.get(f"allocations/{key}/decision")
    others = client.get(f"allocations/{key}/alternatives")["items"] if has_alternatives else []
    if as_json:
        print_json({**found, "alternatives": others} if has_alternatives else found)
        return
    queue = client.get(f"allocations/{key}")["queue"] if found["outcome"] == "queue" else None
    if queue:
        click.echo(place_and_wait(queue))
    for other in others:
        click.echo(other["message"])
    click.echo(f"{OUTCOMES[found['outcome']]} at {local(found['at'])}, asked for by {found['actor']}.")
    show_reasons(found["reasons"])
    rows = [
        {"dimension": _dimension(row), "limit": _amount(row["amount"], _unit(row["dimension"])), "source": row.get("source", "")}
        for row in found["inputs"]["limits"]
    ]
    click.echo()
    print_table(rows, {"dimension": "what", "limit": "limit", "source": "from"}, empty="No limit applied.")
    click.echo("\nThe same inputs give the same decision today." if found["agrees"] else f"\nToday's rules would say: {found['replayed_outcome']}.")


@click.command()
@click.argument("session")
@rest_command
def stop(client: RestClient, session: str, *, as_json: bool) -> None:
    """Stop SESSION, or withdraw it from the queue: an id, its beginning, or the name of a server that is open or queued."""
    key = client.find(session)
    answer = client.delete(f"allocations/{key}")
    if as_json:
        print_json(answer or {"id": key, "state": "ended"})
        return
    if answer and answer["state"] == "withdrawn":
        click.echo(f"{answer['server_name']} is withdrawn.")
    else:
        click.echo(f"{answer['server_name']} is stopping." if answer else "It was over already.")


def _report_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--from", "begin", metavar="DATE", help="Begin, inclusive, UTC; default: this month's."),
            click.option("--to", "end", metavar="DATE", help="End, exclusive, UTC; default: now."),
            click.option("--group-by", multiple=True, type=click.Choice(GROUPS), help="May be given several times."),
            click.option("--user", help="Only this person's."),
            click.option("--project", help="Only this project's."),
        )
    ):
        command = option(command)
    return command


@click.command()
@_report_options
@rest_command
def usage(client: RestClient, *, as_json: bool, **options: Any) -> None:
    """Show metered time, and how much of the GPUs' was used, idle, or is not known."""
    _show_report(client.get("usage", _query(options)), options["group_by"], as_json=as_json)


@click.command()
@_report_options
@rest_command
def costs(client: RestClient, *, as_json: bool, **options: Any) -> None:
    """Show metered time and what it costs."""
    _show_report(client.get("costs", _query(options)), options["group_by"], as_json=as_json)


def _query(options: Mapping[str, Any]) -> dict[str, Any]:
    return {{"begin": "from", "end": "to"}.get(name, name): value for name, value in options.items()}


def _show_report(found: Mapping[str, Any], group_by: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = [_report_row(row) for row in found["rows"]]
    if group_by:
        rows += [{**_report_row(row), group_by[0]: "total"} for row in found["totals"]]
    columns = {name: name.replace("_", " ") for name in group_by} | {
        "gpu": "gpu-hours",
        "used": "used",
        "idle": "idle",
        "unknown": "not known",
        "session": "hours",
    }
    if any("cost" in row for row in rows):
        columns["cost"] = "cost"
    click.echo(f"{local(found['from'])} to {local(found['to'])}")
    print_table(rows, columns, empty="Nothing was used.")
    click.echo(f"Complete until {local(found['complete_until'])}.")


def _report_row(row: Mapping[str, Any]) -> dict[str, Any]:
    parts = {part: _hours(row[f"{part}_gpu_seconds"]) for part in ("used", "idle", "unknown")}
    cells = {**row["keys"], "gpu": _hours(row["gpu_seconds"]), **parts, "session": _hours(row["session_seconds"])}
    return {**cells, "cost": f"{row['amount']} {row['currency']}"} if row["amount"] is not None else cells


def local(instant: str | None) -> str:
    """Return an instant in the reader's own zone; ``-`` for none."""
    if instant is None:
        return "-"
    moment = datetime.fromisoformat(instant)
    with suppress(OverflowError, ValueError):  # the last day of all, which stands for ever in some places, has no day after it
        moment = moment.astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S %Z")


def _hours(seconds: str) -> str:
    return f"{Decimal(seconds) / 3600:.4f}"


def _range(allowed: Mapping[str, int]) -> str:
    return str(allowed["min"]) if allowed["min"] == allowed["max"] else f"{allowed['min']}-{allowed['max']}"


def gpus_of(entry: Mapping[str, Any]) -> str:
    """Return a count of GPUs with their type."""
    return f"{entry['gpus']} {entry['gpu_type']}" if entry["gpu_type"] else str(entry["gpus"])


def _state(entry: Mapping[str, Any]) -> str:
    return f"queued, {place(entry['queue']['position']).lower()}" if entry["queue"] else str(entry["state"])


def _dimension(row: Mapping[str, Any]) -> str:
    window = f" in {row['window_days']} days" if row.get("window_days") else ""
    return f"{row['dimension'].removesuffix('_bytes').replace('_', ' ')}{' ' + row['gpu_type'] if row.get('gpu_type') else ''}{window}"


def _unit(dimension: str) -> str:
    return "B" if dimension.endswith("_bytes") else "1"


def _amount(value: str | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return format_bytes(Decimal(value)) if unit == "B" else format_number(Decimal(value))
