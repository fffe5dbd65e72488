"""What each cost centre owes; and the monthly mail to project leads."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.errors import ConfigurationError

_COSTS = {
    "used_cost": "used",
    "idle_cost": "idle",
    "other_cost": "other",
    "discount": "discount",
    "unallocated_cost": "unallocated",
    "total": "total",
    "credits": "credits",
    "net_total": "to pay",
}
_HOURS = {"used_gpu_hours": "used", "idle_gpu_hours": "idle", "unallocated_gpu_hours": "unallocated", "total_gpu_hours": "all"}


@click.command()
@click.option("--month", default=None, help="Such as 2026-11; months are UTC months. Default: last month.")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write all digits as CSV to this file instead.")
@rest_command
def chargeback(client: RestClient, *, month: str | None, file: Path | None, as_json: bool) -> None:
    """Show what each cost centre owes for a month, with its share of GPUs that nobody held. For admins and billing viewers."""
    if file is not None:
        text = client.text("reports/chargeback", {"month": month, "format": "csv"})
        try:
            file.write_bytes(text.encode())
        except OSError as error:
            raise ConfigurationError(f"Cannot write {file}: {error.strerror or error}.") from error
        click.echo(f"{len(text.splitlines()) - 1} lines in {file}.")
        return
    found = client.get("reports/chargeback", {"month": month})
    if as_json:
        print_json(found)
        return
    totals = [{**row, "cost_centre": "total"} for row in found["totals"]]
    rows = [{**row, **_rounded(row, _COSTS, "0.01"), "cost_centre": row["cost_centre"] or "nobody"} for row in (*found["rows"], *totals)]
    print_table(rows, {"cost_centre": "cost centre", **_COSTS, "currency": ""}, empty=f"Nothing was charged in {found['month']}.")
    click.echo()
    types = [{**row, **_rounded(row, _HOURS, "0.1")} for row in found["gpu_types"]]
    print_table(types, {"gpu_type": "gpu-hours of", **_HOURS}, empty="There were no GPUs.")
    click.echo(f"\n{_says(found)}")


def _rounded(row: dict[str, Any], names: dict[str, str], places: str) -> dict[str, str]:
    return {name: f"{Decimal(row[name]).quantize(Decimal(places))}" for name in names}


def _says(found: dict[str, Any]) -> str:
    """Return how complete it is, by which cards, and who pays for what nobody held."""
    complete = "Complete" if found["complete_until"] == found["end"] else f"Complete until {local(found['complete_until'])}"
    cards = ", ".join(f"{each['rate_card']} (unallocated: {each['share']})" for each in found["shares"])
    known = found["capacity_known_from"]
    capacity = (
        "" if known is not None and known <= found["start"] else f" What there was is known since {local(known)}." if known else " What there was is not known."
    )
    return f"{complete}; rate cards: {cards}.{capacity}"


@click.command()
@click.argument("choice", type=click.Choice(["on", "off"]), required=False)
@rest_command
def showback(client: RestClient, *, choice: str | None, as_json: bool) -> None:
    """Switch the monthly mail about the projects that you lead on or off; without a word, show which."""
    found = client.get("showback") if choice is None else client.put("showback", {"is_wanted": choice == "on"})
    if as_json:
        print_json(found)
        return
    word = "on" if found["is_wanted"] else "off"
    click.echo(f"The monthly mail is {word}." + ("" if found["is_lead"] else " You lead no project, so there is none."))
