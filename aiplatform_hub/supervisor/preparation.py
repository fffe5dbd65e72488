"""Everything between the command line and the first process: folders, files, databases, checks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aiplatform_hub.catalog.loader import DEMO_DIR, load_catalog
from aiplatform_hub.clients.gpus import discover, machine_capacity
from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.supervisor import preflight
from aiplatform_hub.supervisor.data_directory import DataDirectory, write_atomically
from aiplatform_hub.supervisor.hub_config import hub_config_text
from aiplatform_hub.supervisor.operator_config import OperatorConfig, read_operator_config
from aiplatform_hub.supervisor.options import DEMO_GPUS, RunOptions
from aiplatform_hub.supervisor.programs import Place, Program
from aiplatform_hub.supervisor.proxy_program import proxy_command

_UMASK = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A checked installation, ready to start."""

    options: RunOptions
    operator: OperatorConfig
    settings: Settings
    directory: DataDirectory
    programs: tuple[Program, ...]
    devices: tuple[GpuDevice, ...]


def check(options: RunOptions) -> OperatorConfig:
    """Check all that can be checked without writing anything.

    Raises
    ------
    ConfigurationError
        With the first problem and its fix.
    """
    is_root = os.geteuid() == 0
    operator = read_operator_config(options)
    preflight.check_who_may_log_in(options, operator, is_root=is_root)
    if is_root and options.is_demo:
        preflight.check_home_path(options, operator.server_account)
        preflight.check_server_account(operator.server_account)
    proxy_command()
    return operator


def prepare(options: RunOptions, operator: OperatorConfig, directory: DataDirectory) -> Plan:
    """Write what the programs read, bring the database to the present schema and register the machine's devices.

    The caller holds the directory's lock.

    Raises
    ------
    ConfigurationError, CatalogError
        With the problem and its fix.
    ServiceUnavailableError
        If the database does not answer.
    """
    os.umask(_UMASK)
    ports = directory.ports()
    gpu_types = load_catalog(_catalog_dirs(options, operator)).gpu_types
    simulated = operator.simulated_gpus or 0
    devices = discover(simulated, gpu_types)
    if operator.simulated_gpus is None and options.is_demo and not devices:
        simulated = DEMO_GPUS
        devices = discover(simulated, gpu_types)
    settings = Settings(
        data_dir=options.data_dir,
        database_url=operator.database_url,
        catalog_dirs=_catalog_dirs(options, operator),
        simulated_gpus=simulated,
        is_demo=options.is_demo,
        hub_api_url=f"http://127.0.0.1:{ports.hub}{operator.base_url}hub/api",
        base_url=operator.base_url,
        platform_port=ports.platform,
        keeper_port=ports.keeper,
        max_queued_per_user=operator.max_queued_per_user,
        queue_interest_hours=operator.queue_interest_hours,
        stop_inactive_minutes=operator.stop_inactive_minutes,
        grant_grace_minutes=operator.grant_grace_minutes,
        notifiers=operator.notifiers,
        public_url=operator.public_url,
    )
    Factory(settings).check_notices()
    text = hub_config_text(options=options, operator=operator, settings=settings, ports=ports)
    file = settings.run_dir / "hub_config.py"
    write_atomically(file, text)
    place = Place(settings=settings, operator=operator, ports=ports, directory=directory, hub_config_file=file, hub_config=text, proxy=proxy_command())
    _prepare_database(settings, devices)
    return Plan(options=options, operator=operator, settings=settings, directory=directory, programs=place.programs(), devices=devices)


def _catalog_dirs(options: RunOptions, operator: OperatorConfig) -> tuple[Path, ...]:
    own = options.data_dir / "catalog"
    folders = tuple(folder.absolute() for folder in operator.catalog_dirs) or ((own,) if own.is_dir() else ())
    return (DEMO_DIR, *folders) if options.is_demo else folders


def _prepare_database(settings: Settings, devices: tuple[GpuDevice, ...]) -> None:
    factory = Factory(settings)
    upgrade(settings.resolved_database_url)
    factory.price_list.record_catalogue()
    memory_bytes, cpu_cores = machine_capacity()
    factory.enforcer.register_devices(devices, memory_bytes=memory_bytes, cpu_cores=cpu_cores)
    factory.database.close()


def warnings_of(plan: Plan) -> list[str]:
    """Return what an operator should know at each start."""
    found = []
    if plan.options.is_demo:
        found.append("This is a trial: users are isolated neither from each other nor from the hub, its secrets and the ledger.")
    elif os.geteuid() != 0:
        found.append("Without root, users are isolated neither from each other nor from the hub, its secrets and the ledger.")
    if not plan.options.is_demo and not plan.operator.subdomain_host:
        found.append(
            "c.JupyterHub.subdomain_host is not set: a user's server shares its origin with the hub, so an admin who opens it runs that user's scripts. Production wants it."
        )
    if any(device.is_simulated for device in plan.devices):
        found.append(f"{len(plan.devices)} GPUs are simulated: nothing computes on a GPU here.")
    elif not plan.devices:
        found.append("No GPU was found (NVML reports none).")
    return found
