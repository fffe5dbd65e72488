"""What a server gets so that JupyterLab can say when its GPUs are given back: an address, two folders, and rights on itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from jupyterhub import orm

from aiplatform_hub.config import Settings

JUPYTER_DIR = Path(__file__).parents[1] / "jupyter"
"""Our server extension and labextension; images have a copy."""

SERVICE_URL_VARIABLE = "AIPLATFORM_SERVICE_URL"
"""Tells a server where the platform service is."""

OWN_SERVER_SCOPES = ("read:servers!server", "delete:servers!server")
"""What a server's token may do beside what the hub's ``server`` role says: look at this one server, keep it longer, end it."""

_role_scopes: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()
"""Of the role ``server``, by the engine of the hub's database."""


def service_address(settings: Settings) -> str:
    """Return where a server reaches the platform service, with a slash at its end."""
    address = urlsplit(settings.resolved_platform_url)
    host = address.hostname or ""
    if settings.is_namespace_per_user and "." not in host:
        # a mere name means another thing in a namespace of the person's own
        address = address._replace(netloc=address.netloc.replace(host, f"{host}.{settings.namespace}", 1))
    return f"{address.geturl()}{settings.api_prefix}"


def server_scopes(spawner: Any) -> list[str]:
    """Return what a server's own token may do; the hub narrows it to what its owner may.

    Roles come from the hub's configuration alone, so this one is read once in a hub's life.
    """
    engine = spawner.db.get_bind()
    if engine not in _role_scopes:
        _role_scopes[engine] = tuple(orm.Role.find(spawner.db, "server").scopes)
    return [*_role_scopes[engine], *OWN_SERVER_SCOPES]


def with_our_jupyter(environment: Mapping[str, str]) -> dict[str, str]:
    """Add our folders behind those where a server of this machine looks for extensions and configuration anyway."""
    ours = {"JUPYTER_PATH": str(JUPYTER_DIR), "JUPYTER_CONFIG_PATH": str(JUPYTER_DIR / "config")}
    return {**environment, **{name: os.pathsep.join(filter(None, (environment.get(name), folder))) for name, folder in ours.items()}}
