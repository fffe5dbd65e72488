"""``aiplatform token``: an API token for a person, made by whoever may read the installation's secrets."""

from __future__ import annotations

from pathlib import Path

import click

from aiplatform_hub.cli.operator import config_option, data_dir_option, settings_of
from aiplatform_hub.cli.output import guarded, json_option, print_json, say
from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ConfigurationError, NotFoundError, ServiceUnavailableError
from aiplatform_hub.supervisor.data_directory import DataDirectory
from aiplatform_hub.supervisor.hub_database import TokenWish, create_token_in_database
from aiplatform_hub.supervisor.hub_rest import HubRest

NOTE = "aiplatform token"
_DAY_SECONDS = 86400


@click.command()
@click.argument("user")
@click.option("--create", is_flag=True, help="Create the person if the hub does not know them.")
@click.option("--admin", is_flag=True, help="Make the person an admin.")
@click.option("--days", type=click.IntRange(1, 3650), help="The token ends after so many days; default: never.")
@data_dir_option
@config_option
@json_option
@guarded
def token(*, user: str, days: int | None, data_dir: Path, config_file: Path | None, as_json: bool, **wishes: bool) -> None:
    """Print a new API token of USER, once. Works beside a running hub."""
    settings = settings_of(data_dir, config_file)
    seconds = days * _DAY_SECONDS if days else None
    value = _create(settings, TokenWish(user=user, is_creating=wishes["create"], is_admin=wishes["admin"], note=NOTE, expires_in_seconds=seconds))
    if as_json:
        print_json({"user": user, "token": value, "expires_in_seconds": seconds})
    else:
        say(value)


def _create(settings: Settings, wish: TokenWish) -> str:
    directory = DataDirectory(settings.data_dir)
    address, secret = directory.hub_api_url(), directory.existing_secret("operator")
    if not address or not secret:
        raise ConfigurationError(f"{settings.data_dir} was never started. Start it once: aiplatform run --data-dir {settings.data_dir}")
    hub = HubRest(api_url=address, token=secret)
    if hub.is_healthy():
        return _create_over_rest(hub, wish)
    if directory.is_locked() or directory.has_live_record("hub"):
        raise ServiceUnavailableError("The hub runs but does not answer. Try again in a minute, or look at logs/hub.log in the data directory.")
    return create_token_in_database(settings, wish)


def _create_over_rest(hub: HubRest, wish: TokenWish) -> str:
    if wish.is_creating:
        hub.create_user(wish.user)
    elif not hub.has_user(wish.user):
        raise NotFoundError(f"The hub knows no {wish.user}. Create the person with --create.")
    if wish.is_admin:
        hub.make_admin(wish.user)
    return hub.create_token(wish.user, note=wish.note, expires_in_seconds=wish.expires_in_seconds)
