"""Makes a JupyterHub configuration one of this platform.

``install(c)`` only sets values: it does no IO, may run twice, extends lists, and never
overrides what the operator set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from jupyterhub.utils import subdomain_hook_idna, subdomain_hook_legacy
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from aiplatform_hub.config import Secrets, Settings, arguments_of
from aiplatform_hub.hub.identity import IDENTITY_HANDLERS
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.web.view_models.formats import notices

HUB_TEMPLATES = Path(__file__).parent / "web" / "hub_templates"
"""The hub's pages in our look."""

PLATFORM_SCOPES = ("list:users", "read:users", "read:servers", "delete:servers")
KEEPER_SCOPES = ("list:users", "read:users:groups", "read:servers", "start:servers", "delete:servers")
SUPERVISOR_SCOPES = ("proxy",)

SESSION_SCOPES = ("list:users", "read:users", "read:servers", "start:servers", "delete:servers")
"""What a page session may do for its person; the hub narrows it to what the person may."""

EXTERNAL_WAIT_SECONDS = 1
"""How long the hub's start waits for a service that starts beside it: the hub would wait 30 s, and the service waits for the hub."""

ACCESS_PLATFORM = "access:services!service=platform"


def install(c: Config, settings: Settings | None = None, secrets: Secrets | None = None) -> None:
    """Set what the platform needs in a hub configuration.

    Parameters
    ----------
    c
        The configuration object of ``jupyterhub_config.py``.
    settings
        Where and how this installation runs; by default what ``c.AIPlatform`` says.
    secrets
        Tokens of a supervisor that runs proxy and services itself. Without them the hub
        runs both, and they end with it.
    """
    settings = settings or AIPlatform(config=c).settings(str(_get(c.JupyterHub, "base_url", "/")))
    secrets = secrets or Secrets()
    _set_platform(c, settings)
    _set_defaults(
        c.JupyterHub,
        spawner_class="aiplatform_hub.hub.local.LocalSpawner",
        allow_named_servers=True,
        named_server_limit_per_user=0,
        cleanup_servers=False,
        default_url=f"{settings.api_prefix}home",
    )
    _set_services(c, settings, secrets)
    _keep_platform_on_hub_host(c)
    _extend(c.JupyterHub, "template_paths", [str(HUB_TEMPLATES)])
    _set_notices(c, settings)
    _extend(c.JupyterHub, "extra_handlers", IDENTITY_HANDLERS, key=lambda handler: str(handler[0]))
    _add_user_scope(c)
    if secrets.proxy_token:
        _set_defaults(c.ConfigurableHTTPProxy, should_start=False, auth_token=secrets.proxy_token)
    else:
        _set_defaults(c.ConfigurableHTTPProxy, command=[sys.executable, "-m", "aiplatform_hub.supervisor.managed_proxy"])


def _set_platform(c: Config, settings: Settings) -> None:
    _set_defaults(
        c.AIPlatform,
        data_dir=str(settings.data_dir),
        database_url=settings.database_url,
        catalog_dirs=[str(folder) for folder in settings.catalog_dirs],
        simulated_gpus=settings.simulated_gpus,
        demo=settings.is_demo,
        platform_port=settings.platform_port,
        keeper_port=settings.keeper_port,
    )


def _set_notices(c: Config, settings: Settings) -> None:
    """Give the hub's pages the sentences that stand on every page."""
    sentences = notices(is_demo=settings.is_demo, has_simulated_gpus=settings.simulated_gpus > 0, is_isolated=settings.isolates_users)
    variables = _get(c.JupyterHub, "template_vars", {})
    if not isinstance(variables, LazyConfigValue):
        c.JupyterHub.template_vars = {"aiplatform_notices": list(sentences), **variables}


def _set_services(c: Config, settings: Settings, secrets: Secrets) -> None:
    is_supervised = bool(secrets.platform_token and secrets.keeper_token)
    platform: dict[str, Any] = {
        "name": "platform",
        "url": f"http://127.0.0.1:{settings.platform_port}",
        "display": False,
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": list(SESSION_SCOPES),
    }
    keeper: dict[str, Any] = {"name": "keeper", "display": False}
    if is_supervised:
        platform["api_token"], keeper["api_token"] = secrets.platform_token, secrets.keeper_token
        platform["timeout"] = EXTERNAL_WAIT_SECONDS
    else:
        platform["command"], keeper["command"] = _command("platform", settings), _command("keeper", settings)
    services = [platform, keeper]
    roles = [_role("platform", PLATFORM_SCOPES), _role("keeper", KEEPER_SCOPES)]
    if secrets.supervisor_token:
        services.append({"name": "supervisor", "display": False, "api_token": secrets.supervisor_token})
        roles.append(_role("supervisor", SUPERVISOR_SCOPES))
    _extend(c.JupyterHub, "services", services, key=lambda service: str(service.get("name")))
    _extend(c.JupyterHub, "load_roles", roles, key=lambda role: str(role.get("name")))


def _keep_platform_on_hub_host(c: Config) -> None:
    """Let ``subdomain_host`` give people's servers hosts of their own, but not the platform: its pages and the hub's link to each other."""
    chosen = _get(c.JupyterHub, "subdomain_hook", "idna")
    if not isinstance(chosen, _PlatformOnHubHost):
        c.JupyterHub.subdomain_hook = _PlatformOnHubHost({"idna": subdomain_hook_idna, "legacy": subdomain_hook_legacy}.get(chosen, chosen))


class _PlatformOnHubHost:
    """A ``JupyterHub.subdomain_hook`` around the operator's."""

    def __init__(self, others: Callable[..., str]) -> None:
        self._others = others

    def __call__(self, name: str, domain: str, kind: str) -> str:
        return domain if (kind, name) == ("service", "platform") else self._others(name, domain, kind=kind)

    def __deepcopy__(self, memo: dict[int, Any]) -> _PlatformOnHubHost:
        return self  # a Config copies its values


def _role(service: str, scopes: Sequence[str]) -> dict[str, Any]:
    description = f"What the {service} service of the AI Platform Hub may do"
    return {"name": f"aiplatform-{service}", "description": description, "scopes": list(scopes), "services": [service]}


def _command(service: str, settings: Settings) -> list[str]:
    """Return the command of a managed service. Where the hub is, the hub itself tells it in the environment."""
    arguments = arguments_of(settings)
    for option in ("--hub-api-url", "--base-url"):
        if option in arguments:
            at = arguments.index(option)
            del arguments[at : at + 2]
    return [sys.executable, "-m", "aiplatform_hub.supervisor.managed_service", service, *arguments]


def _add_user_scope(c: Config) -> None:
    # A set of scopes for everybody; load_roles would replace the hub's own "user" role.
    scopes = _get(c.JupyterHub, "extra_user_scopes", None)
    if isinstance(scopes, LazyConfigValue):
        scopes.update({ACCESS_PLATFORM})
    else:
        c.JupyterHub.extra_user_scopes = {*(scopes or ()), ACCESS_PLATFORM}


def _get(section: Config, name: str, default: Any) -> Any:
    """Return a value without making it: asking a Config for a missing name would leave a trace."""
    return section[name] if name in section else default  # noqa: SIM401 - Config.get makes lazy values


def _set_defaults(section: Config, **values: Any) -> None:
    for name, value in values.items():
        if name not in section:
            section[name] = value


def _extend(section: Config, name: str, items: Iterable[Any], key: Callable[[Any], str] = str) -> None:
    """Add what is not there yet, by its key; the operator's own entries win."""
    present = _get(section, name, [])
    if isinstance(present, LazyConfigValue):
        known = {key(item) for item in [*present._extend, *present._prepend]}  # noqa: SLF001 - the only way to see what waits there
        present.extend([item for item in items if key(item) not in known])
        return
    known = {key(item) for item in present}
    section[name] = [*present, *(item for item in items if key(item) not in known)]
