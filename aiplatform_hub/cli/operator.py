"""Commands of the operator that work on the data directory, whether or not the hub runs."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import click

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.cli.output import guarded, json_option, print_json, say
from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.config import DEFAULT_DATA_DIR, Settings
from aiplatform_hub.errors import ConfigurationError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import check_current, upgrade
from aiplatform_hub.supervisor.data_directory import DataDirectory
from aiplatform_hub.supervisor.operator_config import read_operator_config
from aiplatform_hub.supervisor.options import RunOptions

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=DEFAULT_DATA_DIR,
    show_default=True,
    help="Folder of databases, secrets, spool and logs.",
)
config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Hub configuration; default: jupyterhub_config.py in the data directory."
)
database_option = click.option(
    "--database-url",
    default="",
    envvar="AIPLATFORM_DATABASE_URL",
    help="SQLAlchemy address of the platform's database; default: AIPLATFORM_DATABASE_URL, the configuration's, else a file in the data directory.",
)
STOP_GRACE_SECONDS = 10


def operator_name() -> str:
    """Return who runs the command, for the audit trail; a container's account may have a number and no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def settings_of(data_dir: Path, config_file: Path | None = None, database_url: str = "", *, must_exist: bool = True) -> Settings:
    """Return the settings of an installation, read from its folder and its operator's file.

    Raises
    ------
    ConfigurationError
        If there is no such folder or the file does not load.
    """
    folder = data_dir.absolute()
    if must_exist and not folder.is_dir():
        raise ConfigurationError(f"There is no data directory {folder}. Name it with --data-dir.")
    if must_exist and not os.access(folder, os.R_OK | os.X_OK):
        raise ConfigurationError(f"This account may not read {folder}. Run the command as the account that runs `aiplatform run`.")
    operator = read_operator_config(RunOptions(data_dir=folder, config_file=config_file, database_url=database_url))
    return Settings(data_dir=folder, database_url=operator.database_url, catalog_dirs=operator.catalog_dirs, base_url=operator.base_url)


@click.command()
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def migrate(data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Bring the platform's database to this version's schema."""
    settings = settings_of(data_dir, config_file, database_url)
    upgrade(settings.resolved_database_url)
    if as_json:
        print_json({"is_current": True})
    else:
        say("The database has the present schema.")


@click.command("check-catalog")
@data_dir_option
@config_option
@click.option(
    "--catalog-dir",
    "catalog_dirs",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    multiple=True,
    help="Catalogue folder; may be given several times.",
)
@json_option
@guarded
def check_catalog(data_dir: Path, config_file: Path | None, catalog_dirs: tuple[Path, ...], as_json: bool) -> None:
    """Read the catalogue and print every error at once (exit code 2)."""
    settings = settings_of(data_dir, config_file, must_exist=False)
    catalog = load_catalog(catalog_dirs or settings.resolved_catalog_dirs)
    names = list(catalog.environment_templates)
    if as_json:
        print_json({"environment_templates": names, "tiers": list(catalog.tiers), "gpu_types": list(catalog.gpu_types)})
    else:
        say(f"The catalogue is valid: {len(names)} environment templates, {len(catalog.tiers)} tiers, {len(catalog.gpu_types)} GPU types.")


@click.command("verify-ledger")
@click.option("--sums", "is_with_sums", is_flag=True, help="Also charge each day that is over anew, and compare it with the sums that reports read.")
@data_dir_option
@config_option
@database_option
@json_option
@guarded
def verify_ledger(is_with_sums: bool, data_dir: Path, config_file: Path | None, database_url: str, as_json: bool) -> None:
    """Check the chain of usage intervals; name the first row that is wrong (exit code 1)."""
    factory = Factory(settings_of(data_dir, config_file, database_url))
    check_current(factory.database)
    verified = factory.verifier.verify()
    days = factory.charge_rollup.verify() if is_with_sums else None
    if as_json:
        print_json({"rows": verified.rows, "head_hash": verified.head_hash, **({} if days is None else {"days": days})})
    else:
        say(f"The ledger verifies: {verified.rows} closed intervals, head {verified.head_hash[:16] or '(none)'}.")
        if days is not None:
            say(f"The sums of {days} {'day' if days == 1 else 'days'} are those of the ledger.")


@click.command("stop-sessions")
@data_dir_option
@json_option
@guarded
def stop_sessions(data_dir: Path, as_json: bool) -> None:
    """End the sessions that run on after `aiplatform run` was stopped."""
    settings = settings_of(data_dir)
    if DataDirectory(settings.data_dir).is_locked():
        raise ServiceUnavailableError("`aiplatform run` is running. Stop sessions on the admin page or with `aiplatform stop ID`.")
    spool = Factory(settings).spool
    ended = []
    for allocation_id in spool.allocation_ids():
        record = spool.read(allocation_id)
        if record and record.is_alive:
            stop_session(spool, allocation_id, STOP_GRACE_SECONDS)
            ended.append(str(allocation_id))
    if as_json:
        print_json({"stopped": ended})
    else:
        say(f"{len(ended)} stopped. The next `aiplatform run` records their ends.")
