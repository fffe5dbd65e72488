"""``aiplatform report``: what a month is charged, as a file."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, settings_of
from aiplatform_hub.cli.output import guarded
from aiplatform_hub.domain.charge_report import KEYS
from aiplatform_hub.domain.report_months import span_of_month
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.storage.migrate import check_current


@click.command()
@click.option("--month", required=True, help="Such as 2026-11; months are UTC months.")
@click.option("--format", "name", type=click.Choice(list(FORMATS)), default="csv", show_default=True, help="Of the file.")
@click.option("--group-by", "groups", default="", metavar="GROUPS", help=f"Comma-separated: {', '.join(KEYS)}.")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False), help="File to write; else standard output.")
@data_dir_option
@config_option
@database_option
@guarded
def report(  # noqa: PLR0913, PLR0917  one parameter per option
    month: str, name: str, groups: str, file: Path | None, data_dir: Path, config_file: Path | None, database_url: str
) -> None:
    """Write what a month is charged: used and idle time, discounts, costs.

    A month that is over and closed gives the same bytes today and next year. A file is either written whole or not at all.
    """
    span = span_of_month(month)
    query = ReportQuery(span.start, span.end, name, tuple(dict.fromkeys(word.strip() for word in groups.split(",") if word.strip())))
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    if file is None:
        _print(factory, query)
    else:
        _write(factory, query, file)


def _print(factory: Factory, query: ReportQuery) -> None:
    with tempfile.TemporaryFile() as whole:
        factory.charge_reporter.write(query, whole)
        whole.seek(0)
        shutil.copyfileobj(whole, sys.stdout.buffer)


def _write(factory: Factory, query: ReportQuery, file: Path) -> None:
    part = file.with_name(f".{file.name}.{os.getpid()}.part") if file.name else file
    try:
        with part.open("wb") as stream:
            factory.charge_reporter.write(query, stream)
        part.replace(file)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {file}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # the folder may be none
            part.unlink()
