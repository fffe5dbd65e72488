"""``aiplatform environments``."""

from __future__ import annotations

import signal
from pathlib import Path
from types import FrameType

import click

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.cli.operator import config_option, data_dir_option, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.supervisor.environments import EnvironmentBuilder


@click.group()
def environments() -> None:
    """Build the environments that templates start, on this machine."""


def _builder(data_dir: Path, config_file: Path | None, *, is_quiet: bool) -> EnvironmentBuilder:
    settings = settings_of(data_dir, config_file)
    return EnvironmentBuilder(
        folder=settings.environments_dir, catalog=load_catalog(settings.resolved_catalog_dirs), say=(lambda _line: None) if is_quiet else say
    )


@environments.command("build")
@click.argument("name")
@click.option("--again", "is_again", is_flag=True, help="Also when it is up to date.")
@data_dir_option
@config_option
@json_option
@guarded
def build(name: str, is_again: bool, data_dir: Path, config_file: Path | None, as_json: bool) -> None:
    """Build the environment of template NAME from its lock, if it is not up to date."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    path = _builder(data_dir, config_file, is_quiet=as_json).build(name, is_again=is_again)
    if as_json:
        print_json({"name": name, "path": str(path)})


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """End like Ctrl-C, which removes what is half built."""
    raise KeyboardInterrupt


@environments.command("list")
@data_dir_option
@config_option
@json_option
@guarded
def list_environments(data_dir: Path, config_file: Path | None, as_json: bool) -> None:
    """List what can be built and what is built."""
    rows = [
        {
            "image": found.image,
            "environment_templates": list(found.environment_templates),
            "state": "not built" if found.built_at is None else "built" if found.is_current else "out of date",
            "built_at": found.built_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if found.built_at else None,
            "path": str(found.path),
        }
        for found in _builder(data_dir, config_file, is_quiet=True).list()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, {"image": "image", "state": "state", "environment_templates": "environment templates", "built_at": "built at"})
