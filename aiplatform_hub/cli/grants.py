"""Give a person a tier, or a person or group a higher limit, until a day, and take it back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, database_option, operator_name, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, print_table, say
from aiplatform_hub.domain.limit_grants import GrantScope, limit_name
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.limit_grants import LimitGrantDraft
from aiplatform_hub.storage.migrate import check_current

MAX_DAYS = 3650


def _factory(data_dir: Path, config_file: Path | None, database_url: str) -> Factory:
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    return factory


@click.group()
def grants() -> None:
    """Give people another tier, or people and groups a higher limit, for some time; every act is audited."""


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


@grants.command("raise")
@click.argument("name")
@click.argument("dimension")
@click.argument("amount")
@click.option("--group", "is_group", is_flag=True, help="NAME is a group: each of its members has the limit for themselves.")
@click.option("--gpu-type", help="For gpus: the type whose limit it is; default: that of the total.")
@click.option("--window-days", type=int, help="For gpu_hours: the window whose limit it is.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), required=True, help="The grant ends after so many days.")
@click.option("--reason", required=True, help="Why; it stands in the audit trail.")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def raise_(  # noqa: PLR0913  one parameter per option
    name: str,
    dimension: str,
    amount: str,
    *,
    is_group: bool,
    gpu_type: str | None,
    window_days: int | None,
    days: int,
    reason: str,
    data_dir: Path,
    config_file: Path | None,
    database_url: str,
    as_json: bool,
) -> None:
    """Raise one limit of the person NAME to AMOUNT, for example: gpus 4, storage_bytes "200 GiB"."""
    scope = GrantScope.GROUP if is_group else GrantScope.USER
    expires_at = datetime.now(UTC) + timedelta(days=days)
    draft = LimitGrantDraft(
        scope=scope, name=name, dimension=dimension, amount=amount, gpu_type=gpu_type, window_days=window_days, expires_at=expires_at, reason=reason
    )
    given = _factory(data_dir, config_file, database_url).limit_grants.give(draft, operator_name())
    if as_json:
        print_json({"id": str(given.id), "limit": limit_name(given.key), "amount": format(given.amount, "f"), "expires_at": isoformat(given.expires_at)})
    else:
        say(f"{given.name} has {amount} {limit_name(given.key)} until {given.expires_at:%Y-%m-%d %H:%M} UTC. To undo: aiplatform grants lower {given.id}")


@grants.command()
@click.argument("grant_id", metavar="ID", type=click.UUID)
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def lower(grant_id: UUID, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """End the raised limit ID now; running sessions are left alone."""
    ended = _factory(data_dir, config_file, database_url).limit_grants.end(grant_id, operator_name())
    if as_json:
        print_json({"id": str(ended.id), "revoked_at": isoformat(ended.revoked_at) if ended.revoked_at else None})
    else:
        say(f"{ended.name} has the {limit_name(ended.key)} of the tier again.")


@grants.command()
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def raised(data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """List the raised limits in force."""
    rows = [
        {
            "scope": grant.scope.value,
            "name": grant.name,
            "limit": limit_name(grant.key),
            "amount": format(grant.amount, "f"),
            "expires_at": isoformat(grant.expires_at),
            "granted_by": grant.granted_by,
            "reason": grant.reason,
            "id": str(grant.id),
        }
        for grant in _factory(data_dir, config_file, database_url).limit_grants.in_force()
    ]
    if as_json:
        print_json(rows)
    else:
        columns = {
            "scope": "for",
            "name": "name",
            "limit": "limit",
            "amount": "amount",
            "expires_at": "until",
            "granted_by": "by",
            "reason": "reason",
            "id": "id",
        }
        print_table(rows, columns, empty="No raised limits are in force.")
