"""``aiplatform export-trace``: an installation's own history as a demand trace."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import click

from aiplatform_hub.catalog.problems import unknown
from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConfigurationError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.trace_export import ExportQuery, TraceExport
from aiplatform_hub.reports.traces import trace_text
from aiplatform_hub.storage.migrate import check_current

STANDARD_OUTPUT = Path("-")


def _zone(_context: click.Context, parameter: click.Parameter, name: str) -> ZoneInfo:
    if name not in available_timezones():
        raise click.BadParameter(f"{unknown('time zone', name, available_timezones())}. Write for example Europe/Berlin.", param=parameter)
    return ZoneInfo(name)


@click.command("export-trace")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--days", type=click.IntRange(1, 3650), default=28, show_default=True, help="Sessions asked for in so many days, today included.")
@click.option("--time-zone", "zone", default="UTC", show_default=True, callback=_zone, help="Where office hours, 08:00 to 20:00, and days are reckoned.")
@click.option("--gpu-type", help="Only sessions with GPUs of this type; the twin's box has one type.")
@click.option("--names", "are_names_kept", is_flag=True, help="Keep the users' names; else they are user00, user01, ….")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def export_trace(  # noqa: PLR0913, PLR0917  one parameter per option
    file: Path,
    days: int,
    zone: ZoneInfo,
    gpu_type: str | None,
    are_names_kept: bool,
    data_dir: Path,
    config_file: Path | None,
    database_url: str,
    as_json: bool,
) -> None:
    """Write the sessions that ran here to FILE, as a trace for `aiplatform simulate`.

    FILE - is standard output. Nothing is changed. What the GPUs of a session were idle in all comes
    at its end; the time of which it is not known whether they were used counts as work.
    """
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    exported = factory.trace_exporter.export(ExportQuery(days, zone, gpu_type, are_names_kept))
    if not exported.demand.sessions:
        raise NotFoundError(f"Nobody had a session with GPUs{f' of type {gpu_type}' if gpu_type else ''} in the last {days} days. Nothing was written.")
    _write(file, trace_text(exported.demand.sessions))
    if as_json and file != STANDARD_OUTPUT:
        print_json(_values(file, exported))
    else:
        for line in _sentences(file, exported, zone):
            click.echo(line, err=True)


def _write(file: Path, text: str) -> None:
    if file == STANDARD_OUTPUT:
        sys.stdout.write(text)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror or error}.") from error


def _values(file: Path, exported: TraceExport) -> dict[str, object]:
    return {
        "file": str(file),
        "sessions": len(exported.demand.sessions),
        "users": exported.demand.users,
        "starts_at": isoformat(exported.start),
        "days": exported.days,
        "gpus_now": exported.gpus_now,
        "still_running": exported.still_running,
        "overlapping": exported.demand.overlapping,
        "is_utilisation_known": exported.known_fraction > 0,
        "utilisation_known_fraction": round(exported.known_fraction, 6),
    }


def _sentences(file: Path, exported: TraceExport, zone: ZoneInfo) -> list[str]:
    found = exported.demand
    lines = [
        f"Sessions: {len(found.sessions)}, of {found.users} users, from {exported.start:%Y-%m-%d} 00:00 {zone.key} on.",
        _utilisation(exported.known_fraction),
    ]
    if exported.still_running:
        lines.append(f"Still running: {exported.still_running}; they count with their length so far.")
    if found.overlapping:
        lines.append(f"Overlapping: {found.overlapping}; they began while the same user had another, and in a trace come one after the other.")
    name = "FILE" if file == STANDARD_OUTPUT else shlex.quote(str(file))
    gpus = max(exported.gpus_now, *(session.gpus for session in found.sessions))
    return [*lines, f"Simulate them: aiplatform simulate {name} --gpus {gpus} --days {exported.days}"]


def _utilisation(known_fraction: float) -> str:
    if not known_fraction:
        return "Nothing is known of the utilisation of the GPUs: each session counts as work from start to end, so a simulation shows nothing of idle release."
    return f"The utilisation of the GPUs is known for {known_fraction:.1%} of their time; the rest counts as work."
