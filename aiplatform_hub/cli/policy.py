"""The queue's policy: show it, check a file, apply it to the running hub."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aiplatform_hub.catalog.loader import DEMO_DIR
from aiplatform_hub.catalog.policy_words import PolicyChange, policy_words
from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, operator_name, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.policies import Policies
from aiplatform_hub.storage.migrate import check_current
from aiplatform_hub.supervisor.hub_config import demo_passwords_file

STANDARD_INPUT = Path("-")
FILE = click.Path(path_type=Path, allow_dash=True)
_COLUMNS = {"key": "key", "before": "before", "after": "after"}


def _on_an_installation(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say where the installation is."""
    return data_dir_option(config_option(database_option(json_option(guarded(command)))))


def _policies(data_dir: Path, config_file: Path | None, database_url: str) -> Policies:
    settings = settings_of(data_dir, config_file, database_url)
    if demo_passwords_file(settings).exists():  # a trial's projects are known to it alone
        settings = replace(settings, catalog_dirs=(DEMO_DIR, *settings.resolved_catalog_dirs))
    factory = Factory(settings)
    check_current(factory.database)
    return factory.policies


def _document(file: Path) -> tuple[str, str]:
    """Return what a file or standard input says, and what problems call it."""
    try:
        data = sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()
        return data.decode(), "standard input" if file == STANDARD_INPUT else str(file)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{file}:{line}: is not UTF-8 text; save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}.") from error


@click.group()
def policy() -> None:
    """Show or change who is next and what is taken back when; what is applied counts within seconds, without a restart."""


@policy.command()
@_on_an_installation
def show(data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Print what counts now: every key of a policy file, since when, and who applied it."""
    found = _policies(data_dir, config_file, database_url).in_force()
    words = policy_words(found.policy)
    if as_json:
        applied_at = None if found.applied_at is None else isoformat(found.applied_at)
        about = {"version": found.version, "applied_at": applied_at, "applied_by": found.applied_by, "trouble": found.trouble}
        print_json({**about, "keys": words, "document": found.document})
        return
    if found.trouble:
        click.echo(f"{click.style('Attention:', fg='yellow')} {found.trouble}", err=True)
    say("The shipped policy (version 0)." if found.applied_at is None else f"Version {found.version}, applied {_when(found.applied_at)} by {found.applied_by}.")
    print_table([{"key": key, "value": value} for key, value in words.items()], {"key": "key", "value": "value"})


@policy.command()
@click.argument("file", type=FILE)
@_on_an_installation
def check(file: Path, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Say everything that is wrong with FILE (- for standard input), or what it would change. Nothing is stored."""
    document, name = _document(file)
    changes = _policies(data_dir, config_file, database_url).check(document, name=name)
    if as_json:
        print_json({"changes": _changes(changes)})
    else:
        print_table(_changes(changes), _COLUMNS, empty="It is right, and says what counts already.")


@policy.command()
@click.argument("file", type=FILE)
@_on_an_installation
def apply(file: Path, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Let the queue follow FILE (- for standard input) from now on; keys that it lacks are as shipped.

    With anything wrong in it nothing changes, and all of it is said at once.
    """
    document, name = _document(file)
    applied = _policies(data_dir, config_file, database_url).apply(document, name=name, by=operator_name())
    if as_json:
        print_json({"version": applied.version, "is_stored": applied.is_stored, "changes": _changes(applied.changes)})
    elif applied.is_stored:
        print_table(_changes(applied.changes), _COLUMNS, empty="It says what counted already.")
        say(f"Version {applied.version} counts now.")
    else:
        say(f"It says what counts already: version {applied.version} stays.")


@policy.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Most versions.")
@_on_an_installation
def history(limit: int, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """List the versions, the newest first, with what each one changed."""
    steps = _policies(data_dir, config_file, database_url).history(limit=limit)
    if as_json:
        print_json(
            [
                {
                    "version": step.version,
                    "applied_at": isoformat(step.applied_at),
                    "applied_by": step.applied_by,
                    "changes": _changes(step.changes),
                    "trouble": step.trouble,
                    "document": step.document,
                }
                for step in steps
            ]
        )
        return
    rows = [
        {"version": s.version, "at": _when(s.applied_at), "by": s.applied_by, "changes": s.trouble or "; ".join(map(str, s.changes)) or "nothing"}
        for s in steps
    ]
    columns = {"version": "version", "at": "applied", "by": "by", "changes": "changed"}
    print_table(rows, columns, empty="Nothing was applied: the shipped policy counts.")


def _when(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _changes(changes: Sequence[PolicyChange]) -> list[dict[str, str]]:
    return [{"key": change.key, "before": change.before, "after": change.after} for change in changes]
