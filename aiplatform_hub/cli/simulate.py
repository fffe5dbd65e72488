"""``aiplatform simulate``: what a policy does with demand traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click

from aiplatform_hub.catalog.policies import read_policy
from aiplatform_hub.catalog.problems import configuration_error
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table
from aiplatform_hub.domain.policy import PRESETS, Policy
from aiplatform_hub.domain.twin import Trace, TwinResult
from aiplatform_hub.domain.twin import simulate as run_twin
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.reports.traces import read_trace
from aiplatform_hub.reports.twin_plot import check_plot, plot
from aiplatform_hub.reports.twin_scores import TABLE_COLUMNS, scores_csv, scores_json, table_rows

PATH = click.Path(path_type=Path)


def _instant(_context: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    try:
        instant = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        instant = datetime.min  # noqa: DTZ901  naive as what is refused
    if instant is not None and instant.tzinfo is None:
        raise click.BadParameter(f"{text!r} is no instant; write it with its time zone, for example 2026-03-02T00:00:00+01:00.", param=parameter)
    return instant


@click.command()
@click.argument("traces", nargs=-1, required=True, type=PATH, metavar="TRACE...")
@click.option("--policy", "policy_file", type=PATH, help="Policy file; keys that it lacks are as in the preset.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="shipped", show_default=True, help="Policy without a file, and under one.")
@click.option("--gpus", type=click.IntRange(1, 1024), default=4, show_default=True, help="GPUs of the box.")
@click.option("--days", type=click.IntRange(1, 3650), default=28, show_default=True, help="Days to simulate, from the start of the trace.")
@click.option("--starts-at", callback=_instant, help="When the traces start, for example 2026-03-02T00:00:00+01:00; reservations of the policy need it.")
@click.option("--csv", "csv_file", type=PATH, help="Write the figures of each trace and each user there.")
@click.option("--plot", "plot_file", type=PATH, help="Draw use, waits and shares there; a .png or .svg file.")
@json_option
@guarded
def simulate(  # noqa: PLR0913, PLR0917  one parameter per option
    traces: tuple[Path, ...],
    policy_file: Path | None,
    preset: str,
    gpus: int,
    days: int,
    starts_at: datetime | None,
    csv_file: Path | None,
    plot_file: Path | None,
    as_json: bool,
) -> None:
    """Run demand traces through a policy in simulated time, and score it.

    The planner, the fair share and the release rules are those of the running queue; nothing is
    read from an installation and nothing changes. Waits are in hours; light users ask in office
    hours only. Several traces: the last row is their mean.
    """
    for file in filter(None, (csv_file, plot_file)):
        _check_folder(file)
    if plot_file is not None:
        check_plot(plot_file)
    policy, demands = _inputs(traces, policy_file, PRESETS[preset], gpus=gpus, days=days)
    results = _run(demands, _since_start(policy, starts_at))
    if csv_file is not None:
        _write(csv_file, scores_csv(results).encode())
    if plot_file is not None:
        _write(plot_file, plot(results, plot_file.suffix))
    if as_json:
        print_json(scores_json(results))
    else:
        print_table(table_rows(results), TABLE_COLUMNS)


def _inputs(files: Sequence[Path], policy_file: Path | None, base: Policy, *, gpus: int, days: int) -> tuple[Policy, list[Trace]]:
    """Return policy and traces, or raise with all that is wrong with any of them."""
    readings = [read_trace(file, capacity_gpus=gpus, days=days) for file in files]
    problems = [problem for reading in readings for problem in reading.problems]
    policy = base
    if policy_file is not None:
        read = read_policy(policy_file, base)
        policy = read.policy
        problems += read.problems
    if problems:
        raise configuration_error("The input", problems)
    return policy, [reading.trace for reading in readings]


def _since_start(policy: Policy, starts_at: datetime | None) -> Policy:
    """Return a policy whose reservations are reckoned from the start of the trace, on the one GPU type that a trace knows."""
    if not policy.reservations:
        return policy
    if starts_at is None:
        raise ConfigurationError("The policy has reservations. Say with --starts-at when the traces start, for example 2026-03-02T00:00:00+01:00.")
    zero = starts_at.timestamp()
    shifted = (replace(each, gpu_type=None, start_seconds=each.start_seconds - zero, end_seconds=each.end_seconds - zero) for each in policy.reservations)
    return replace(policy, reservations=tuple(shifted))


def _run(traces: Sequence[Trace], policy: Policy) -> list[TwinResult]:
    results = []
    for number, trace in enumerate(traces, 1):
        click.echo(f"{trace.name}: {len(trace.sessions)} sessions ({number} of {len(traces)}) …", err=True)
        results.append(run_twin(trace, policy))
    return results


def _check_folder(file: Path) -> None:
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder. Name a file.")
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"There is no folder {file.parent} to write {file.name} into.")


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror or error}.") from error
