"""What commands print: aligned tables, JSON, and one line for a refusal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from aiplatform_hub.errors import AIPlatformError, CatalogError, ConfigurationError, ServiceUnavailableError

P = ParamSpec("P")
R = TypeVar("R")
REFUSED, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes beside 0."""


def json_option(command: Callable[P, R]) -> Callable[P, R]:
    """Add ``--json`` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], *, empty: str = "Nothing.") -> None:
    """Print rows under headings, numbers to the right. ``columns`` maps keys to headings."""
    if not rows:
        click.echo(empty)
        return
    cells = [[_text(row.get(key)) for key in columns] for row in rows]
    widths = [max(len(heading), *(len(line[index]) for line in cells)) for index, heading in enumerate(columns.values())]
    is_number = [all(_is_number(line[index]) for line in cells) for index in range(len(widths))]

    def line(values: Sequence[str]) -> str:
        padded = (value.rjust(width) if right else value.ljust(width) for value, width, right in zip(values, widths, is_number, strict=True))
        return "  ".join(padded).rstrip()

    click.echo(click.style(line([heading.upper() for heading in columns.values()]), bold=True))
    for values in cells:
        click.echo(line(values))


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace("-", "", 1).isdigit()


def say(message: str) -> None:
    """Print a line of progress at once."""
    click.echo(message)
    sys.stdout.flush()


def exit_code_of(error: AIPlatformError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, ConfigurationError | CatalogError):
        return USAGE
    return UNAVAILABLE if isinstance(error, ServiceUnavailableError) else REFUSED


def print_error(error: AIPlatformError, *, as_json: bool = False) -> None:
    """Print an error with its reasons, to standard error."""
    if as_json:
        reasons = [{"code": reason.code, "message": reason.message, "remedies": list(reason.remedies)} for reason in error.reasons]
        click.echo(json.dumps({"code": error.code, "detail": error.message, "reasons": reasons}, ensure_ascii=False), err=True)
        return
    click.echo(f"{click.style('aiplatform:', fg='red')} {error.message}", err=True)
    for reason in error.reasons:
        if reason.message not in error.message:
            click.echo(f"  {reason.message}", err=True)
        for remedy in reason.remedies:
            click.echo(f"    - {remedy}", err=True)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Turn an error of the platform into its line and exit code; never a traceback."""

    @wraps(command)
    def guard(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except AIPlatformError as error:
            print_error(error, as_json=bool(kwargs.get("as_json")))
            raise SystemExit(exit_code_of(error)) from error
        except UnicodeEncodeError as error:
            print_error(ConfigurationError("A word of the command is not UTF-8 text; write it in letters that your terminal knows."))
            raise SystemExit(USAGE) from error

    return guard
