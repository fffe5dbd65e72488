"""Give a person a tier until a day, and take it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, operator_name, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import check_current

MAX_DAYS = 3650


def _factory(data_dir: Path, config_file: Path | None, database_url: str) -> Factory:
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    return factory


@click.group()
def grants() -> None:
    """Give people another tier for some time; every act is audited."""


@grants.command()
@click.argument("user")
@click.argument("tier")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), required=True, help="The grant ends after so many days.")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def give(  # noqa: PLR0913, PLR0917  one parameter per option
    user: str, tier: str, days: int, reason: str, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool
) -> None:
    """Give USER the TIER; it counts from the next start on."""
    expires_at = datetime.now(UTC) + timedelta(days=days)
    given = _factory(data_dir, config_file, database_url).grants.grant(user, tier, expires_at, reason, operator_name())
    if as_json:
        print_json({"user": given.user_name, "tier": given.tier, "expires_at": isoformat(given.expires_at)})
    else:
        say(f"{given.user_name} has the tier {given.tier} until {given.expires_at:%Y-%m-%d %H:%M} UTC.")


@grants.command()
@click.argument("user")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def revoke(user: str, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """End USER's grants now; running sessions are left alone."""
    count = _factory(data_dir, config_file, database_url).grants.revoke(user, operator_name())
    if as_json:
        print_json({"user": user, "revoked": count})
    else:
        say(f"{count} ended." if count else f"{user} has no grant.")


@grants.command("list")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def list_(data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """List the grants in force."""
    rows = [
        {"user": grant.user_name, "tier": grant.tier, "expires_at": isoformat(grant.expires_at), "granted_by": grant.granted_by, "reason": grant.reason}
        for grant in _factory(data_dir, config_file, database_url).grants.active()
    ]
    if as_json:
        print_json(rows)
    else:
        columns = {"user": "user", "tier": "tier", "expires_at": "until", "granted_by": "by", "reason": "reason"}
        print_table(rows, columns, empty="No grants are in force.")
