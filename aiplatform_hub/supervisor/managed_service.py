"""Starts a service that the hub manages, under plain ``jupyterhub -f``: nobody else has prepared the data directory there.

``python -m aiplatform_hub.supervisor.managed_service platform --data-dir …``
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from aiplatform_hub.config import add_arguments, settings_from
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.storage.migrate import upgrade
from aiplatform_hub.supervisor.data_directory import DataDirectory

SERVICES = ("platform", "keeper")
_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the data directory, bring the database to the present schema and become the service."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="managed_service", description=__doc__)
    parser.add_argument("service", choices=SERVICES)
    add_arguments(parser)
    parsed = parser.parse_args(given)  # the service comes first: what follows it is the service's own
    settings = settings_from(parsed)
    try:
        DataDirectory(settings.data_dir, is_traversable=os.geteuid() == 0).create()
        upgrade(settings.resolved_database_url)
    except AIPlatformError as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    command = [sys.executable, "-m", f"aiplatform_hub.services.{parsed.service}", *given[1:]]
    return os.execv(sys.executable, command)  # noqa: S606 - the very process that the hub watches becomes the service


if __name__ == "__main__":
    sys.exit(main())
