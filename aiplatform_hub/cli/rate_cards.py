"""Rate cards: what costs how much, from when until when."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click

from aiplatform_hub.cli.output import print_json, print_table
from aiplatform_hub.cli.rest import RestClient
from aiplatform_hub.cli.user import local, rest_command
from aiplatform_hub.errors import ConfigurationError, NotFoundError

_FILE = click.Path(path_type=Path, allow_dash=True)
_reason_option = click.option("--reason", required=True, help="Why, for whoever reads the bills later.")


@click.group("rate-cards")
def rate_cards() -> None:
    """Show what costs how much, from when until when; admins also add cards, and change or withdraw those that are to come."""


@rate_cards.command("list")
@click.option("--all", "is_all", is_flag=True, help="Withdrawn ones too.")
@rest_command
def list_(client: RestClient, *, is_all: bool, as_json: bool) -> None:
    """List the cards, the last to begin first."""
    items = [one for one in client.get("rate-cards")["items"] if is_all or one["withdrawn_at"] is None]
    if as_json:
        print_json(items)
        return
    rows = [
        {
            **one,
            "from": local(one["effective_from"]),
            "until": "withdrawn" if one["withdrawn_at"] else local(one["effective_until"]) if one["effective_until"] else "further notice",
            "by": one["recorded_by"] or "rates.yaml",
        }
        for one in items
    ]
    columns = {"version": "version", "from": "from", "until": "until", "currency": "currency", "by": "recorded by", "reason": "why"}
    print_table(rows, columns, empty="Nothing is recorded yet: the cards of the catalogue's files count.")


@rate_cards.command()
@click.argument("version")
@rest_command
def show(client: RestClient, version: str, *, as_json: bool) -> None:
    """Print the card VERSION as YAML, and what an hour of each environment costs under it."""
    found = next((one for one in client.get("rate-cards")["items"] if one["version"] == version and one["withdrawn_at"] is None), None)
    if found is None:
        raise NotFoundError(f"There is no rate card {version}. See: aiplatform rate-cards list")
    if as_json:
        print_json(found)
        return
    click.echo(found["document"])
    _print_samples(found)


@rate_cards.command()
@click.argument("version")
@click.argument("file", type=_FILE)
@rest_command
def check(client: RestClient, version: str, file: Path, *, as_json: bool) -> None:
    """Say everything that is wrong with the card VERSION in FILE (- for standard input), or what sessions would cost under it. Nothing is recorded."""
    found = client.post("rate-cards/check", {"version": version, "document": _document(file)})
    if as_json:
        print_json(found)
        return
    _print_samples(found)


@rate_cards.command()
@click.argument("version")
@click.argument("file", type=_FILE)
@_reason_option
@rest_command
def add(client: RestClient, version: str, file: Path, *, reason: str, as_json: bool) -> None:
    """Record the card VERSION of FILE (- for standard input): an entry of rates.yaml without its name, that is to come."""
    _say(client.post("rate-cards", {"version": version, "document": _document(file), "reason": reason}), "is recorded", as_json=as_json)


@rate_cards.command()
@click.argument("version")
@click.argument("file", type=_FILE)
@_reason_option
@rest_command
def change(client: RestClient, version: str, file: Path, *, reason: str, as_json: bool) -> None:
    """Let FILE (- for standard input) take the place of the card VERSION, which has not begun."""
    _say(client.put(f"rate-cards/{quote(version, safe='')}", {"document": _document(file), "reason": reason}), "is changed", as_json=as_json)


@rate_cards.command()
@click.argument("version")
@_reason_option
@rest_command
def withdraw(client: RestClient, version: str, *, reason: str, as_json: bool) -> None:
    """Withdraw the card VERSION, which has not begun."""
    found = client.delete(f"rate-cards/{quote(version, safe='')}?{urlencode({'reason': reason})}")
    if as_json:
        print_json(found)
        return
    click.echo(f"The rate card {version} is withdrawn.")


def _document(file: Path) -> str:
    try:
        return sys.stdin.read() if file == Path("-") else file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8 text; save the file as UTF-8.") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}.") from error


def _say(found: Mapping[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    click.echo(f"The rate card {found['version']} {done}; it holds from {local(found['effective_from'])}. Until then it can be changed.")


def _print_samples(found: Mapping[str, Any]) -> None:
    rows = [{**one, "off_peak": one["off_peak_per_hour"]} for one in found["samples"]]
    columns = {"environment_template": "environment", "gpus": "gpus", "gpu_type": "gpu type", "cpu_cores": "cores", "memory_gib": "memory GiB"}
    print_table(rows, {**columns, "per_hour": f"{found['currency']} per hour", "off_peak": "off-peak"})
