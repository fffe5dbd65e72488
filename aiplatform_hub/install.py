"""Makes a JupyterHub configuration one of this platform.

``install(c)`` only sets values: it does no IO, may run twice, extends lists, and never
overrides what the operator set.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jupyterhub.utils import subdomain_hook_idna, subdomain_hook_legacy
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from aiplatform_hub.config import (
    Place,
    Secrets,
    Settings,
    arguments_of,
    database_url_from_environment,
    notifier_secret_name,
    notifier_secrets_from_environment,
    secrets_from_environment,
)
from aiplatform_hub.domain.push import WEB_PUSH
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.hub.announcements import hub_announcements
from aiplatform_hub.hub.helm_values import traits_of_values
from aiplatform_hub.hub.identity import IDENTITY_HANDLERS
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.services.culler.command import MODULE as CULLER_MODULE
from aiplatform_hub.services.culler.command import asking_us, culler_command, timeout_seconds
from aiplatform_hub.web.security_headers import NonceExtension, SecurityHeaders
from aiplatform_hub.web.view_models.formats import notices

HUB_TEMPLATES = Path(__file__).parent / "web" / "hub_templates"
"""The hub's pages in our look."""

PLATFORM_SCOPES = ("list:users", "read:users", "read:servers", "delete:servers")
KEEPER_SCOPES = ("list:users", "read:users", "read:servers", "start:servers", "delete:servers")
CULLER_SCOPES = ("list:users", "read:users:activity", "read:servers", "delete:servers")
SUPERVISOR_SCOPES = ("proxy",)

BILLING_SCOPES = ("custom:aiplatform:billing:read", "custom:aiplatform:billing:dispute")
"""What the billing viewer may besides; the second implies the first."""

SESSION_SCOPES = ("list:users", "read:users", "read:servers", "start:servers", "delete:servers", *BILLING_SCOPES)
"""What a page session may do for its person; the hub narrows it to what the person may."""

EXTERNAL_WAIT_SECONDS = 1
"""How long the hub's start waits for a service that starts beside it: the hub would wait 30 s, and the service waits for the hub."""

ACCESS_PLATFORM = "access:services!service=platform"

LOCAL_SPAWNER = "aiplatform_hub.hub.local.LocalSpawner"
KUBE_SPAWNER = "aiplatform_hub.hub.kube.AIPlatformKubeSpawner"
STOCK_KUBE_SPAWNERS = frozenset({"kubespawner", "kubespawner.KubeSpawner", "kubespawner.spawner.KubeSpawner"})
"""What zero-to-jupyterhub and others put down; ours takes its place, and reads the same ``c.KubeSpawner`` settings."""

DECISION_WAIT_SECONDS = 1
"""How long the hub waits for a start before it shows the progress page: long enough for a refusal to come with its status."""


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
        of a single machine runs both, and they end with it; the hub of a cluster reads
        them from the environment, or finds them with the services that are there already.

    Raises
    ------
    ConfigurationError
        If, in a cluster, a service has no token.
    """
    settings = settings or _settings_of(c)
    secrets = secrets or (secrets_from_environment() if settings.place is Place.CLUSTER else Secrets())
    _set_platform(c, settings)
    if settings.place is Place.CLUSTER:
        _set_cluster(c, settings)
    _set_defaults(
        c.JupyterHub,
        spawner_class=LOCAL_SPAWNER,
        allow_named_servers=True,
        named_server_limit_per_user=0,
        cleanup_servers=False,
        default_url=f"{settings.api_prefix}home",
    )
    _set_services(c, settings, secrets)
    _keep_platform_on_hub_host(c)
    _extend(c.JupyterHub, "template_paths", [str(HUB_TEMPLATES)])
    _set_notices(c, settings)
    _set_security_headers(c)
    _extend(c.JupyterHub, "extra_handlers", IDENTITY_HANDLERS, key=lambda handler: str(handler[0]))
    _add_user_scope(c)
    _add_billing_viewer(c)
    _set_proxy(c, settings, secrets)


def install_from_values(c: Config, values: Mapping[str, Any] | None) -> None:
    """Set what the ``custom.aiPlatform`` of a Helm values file says, then :func:`install`.

    Raises
    ------
    ConfigurationError
        If a key is not known or a value is of the wrong type; the message names the nearest right key.
    """
    _set_defaults(c.AIPlatform, **traits_of_values({} if values is None else values))
    install(c)


def _settings_of(c: Config) -> Settings:
    """Return what the traits say; where they are silent, what the operator told KubeSpawner."""
    settings = AIPlatform(config=c).settings(str(_get(c.JupyterHub, "base_url", "/")))
    if settings.place is Place.MACHINE:
        return settings
    namespace = settings.namespace if _get(c.AIPlatform, "namespace", "") else str(_get(c.KubeSpawner, "namespace", "") or settings.namespace)
    is_per_user = settings.is_namespace_per_user or bool(_get(c.KubeSpawner, "enable_user_namespaces", False))
    cullers = [command for service in _present(c.JupyterHub, "services") if CULLER_MODULE in (command := service.get("command") or [])]
    inactive_minutes = -(-timeout_seconds(cullers[0]) // 60) if cullers else 0
    return replace(settings, namespace=namespace, is_namespace_per_user=is_per_user, stop_inactive_minutes=inactive_minutes)


def _set_cluster(c: Config, settings: Settings) -> None:
    chosen = _get(c.JupyterHub, "spawner_class", KUBE_SPAWNER)
    name = chosen if isinstance(chosen, str) else f"{chosen.__module__}.{chosen.__qualname__}"
    if name in STOCK_KUBE_SPAWNERS or name == KUBE_SPAWNER:
        c.JupyterHub.spawner_class = KUBE_SPAWNER
    _set_defaults(c.KubeSpawner, namespace=settings.namespace, enable_user_namespaces=settings.is_namespace_per_user)
    tornado = _get(c.JupyterHub, "tornado_settings", {})
    if not isinstance(tornado, LazyConfigValue) and tornado.get("slow_spawn_timeout") == 0:
        # zero-to-jupyterhub's 0 would hide every refusal behind the progress page
        c.JupyterHub.tornado_settings = {**tornado, "slow_spawn_timeout": DECISION_WAIT_SECONDS}


def _set_proxy(c: Config, settings: Settings, secrets: Secrets) -> None:
    if secrets.proxy_token:
        _set_defaults(c.ConfigurableHTTPProxy, should_start=False, auth_token=secrets.proxy_token)
    elif settings.place is Place.CLUSTER:
        _set_defaults(c.ConfigurableHTTPProxy, should_start=False)
    else:
        _set_defaults(c.ConfigurableHTTPProxy, command=[sys.executable, "-m", "aiplatform_hub.supervisor.managed_proxy"])


def _set_platform(c: Config, settings: Settings) -> None:
    _set_defaults(
        c.AIPlatform,
        data_dir=str(settings.data_dir),
        **({} if settings.database_url == database_url_from_environment() else {"database_url": settings.database_url}),
        catalog_dirs=[str(folder) for folder in settings.catalog_dirs],
        simulated_gpus=settings.simulated_gpus,
        demo=settings.is_demo,
        platform_port=settings.platform_port,
        keeper_port=settings.keeper_port,
        place=settings.place.value,
        namespace=settings.namespace,
        namespace_per_user=settings.is_namespace_per_user,
        node_lost_seconds=settings.node_lost_seconds,
        image_prefix=settings.image_prefix,
        max_queued_per_user=settings.max_queued_per_user,
        queue_interest_hours=settings.queue_interest_hours,
        stop_inactive_minutes=settings.stop_inactive_minutes,
        grant_grace_minutes=settings.grant_grace_minutes,
        notifiers=json.loads(settings.notifiers or "{}"),
        public_url=settings.public_url,
        queue_backend=settings.queue_backend.value,
        kueue_queue=settings.kueue_queue,
        kueue_priority=settings.kueue_priority,
        platform_url=settings.platform_url,
    )


def _set_notices(c: Config, settings: Settings) -> None:
    """Give the hub's pages the sentences that stand on every page, and what admins tell everybody."""
    sentences = notices(is_demo=settings.is_demo, has_simulated_gpus=settings.simulated_gpus > 0, is_isolated=settings.isolates_users)
    variables = _get(c.JupyterHub, "template_vars", {})
    if not isinstance(variables, LazyConfigValue):
        c.JupyterHub.template_vars = {"aiplatform_notices": list(sentences), "aiplatform_announcements": hub_announcements, **variables}


def _set_security_headers(c: Config) -> None:
    """Give every answer of the hub our headers, and the scripts of its page templates their nonces."""
    for name, key, added in (("tornado_settings", "transforms", SecurityHeaders), ("jinja_environment_options", "extensions", NonceExtension)):
        present = _get(c.JupyterHub, name, {})
        if not isinstance(present, LazyConfigValue):
            listed = list(present.get(key) or ())
            setattr(c.JupyterHub, name, {**present, key: listed if added in listed else [*listed, added]})


def _set_services(c: Config, settings: Settings, secrets: Secrets) -> None:
    platform: dict[str, Any] = {
        "name": "platform",
        "url": _get(c.AIPlatform, "platform_url", "") or settings.resolved_platform_url,
        "display": False,
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": list(SESSION_SCOPES),
    }
    keeper: dict[str, Any] = {"name": "keeper", "display": False}
    if settings.place is Place.CLUSTER or (secrets.platform_token and secrets.keeper_token):
        platform |= {"api_token": secrets.platform_token, "timeout": EXTERNAL_WAIT_SECONDS}
        keeper["api_token"] = secrets.keeper_token
    else:
        platform["command"], keeper["command"] = _command("platform", settings), _command("keeper", settings)
        given, secrets_given = _database_in_environment().get("environment", {}), notifier_secrets_from_environment()
        key = {name: value for name, value in secrets_given.items() if name == notifier_secret_name(WEB_PUSH)}  # browsers get its public half
        for service, environment in ((platform, given | key), (keeper, given | secrets_given)):
            if environment:
                service["environment"] = environment
    services = [platform, keeper]
    roles = [_role("platform", PLATFORM_SCOPES), _role("keeper", KEEPER_SCOPES)]
    culler = _culler(settings, secrets, is_external="api_token" in keeper)
    if culler:
        services.append(culler)
        roles.append(_role("culler", CULLER_SCOPES))
    if secrets.supervisor_token:
        services.append({"name": "supervisor", "display": False, "api_token": secrets.supervisor_token})
        roles.append(_role("supervisor", SUPERVISOR_SCOPES))
    if settings.place is Place.CLUSTER:
        _let_cullers_ask_us(_present(c.JupyterHub, "services"), settings)
        services = [_completed(service, _present(c.JupyterHub, "services")) for service in services]
    _extend(c.JupyterHub, "services", services, key=lambda service: str(service.get("name")))
    _extend(c.JupyterHub, "load_roles", roles, key=lambda role: str(role.get("name")))


def _culler(settings: Settings, secrets: Secrets, *, is_external: bool) -> dict[str, Any] | None:
    """Return the culler's service; None where an entry of the operator's or the chart's runs it, or where it is started without its token."""
    if settings.place is Place.CLUSTER:
        return None
    culler: dict[str, Any] = {"name": "culler", "display": False}
    if is_external:
        return {**culler, "api_token": secrets.culler_token} if secrets.culler_token else None
    return {**culler, "command": list(culler_command(settings)), **_database_in_environment()}


def _let_cullers_ask_us(present: Sequence[Any], settings: Settings) -> None:
    """Give each entry that runs the stock culler our configuration file: it stops servers by what nobody uses, not by what GPUs do."""
    for service in present:
        command = service.get("command") or []
        if CULLER_MODULE in command:
            service["command"] = list(asking_us(command, settings))
            service["environment"] = {**_database_in_environment().get("environment", {}), **(service.get("environment") or {})}


def _database_in_environment() -> dict[str, dict[str, str]]:
    """Return what lets a managed service find the database where only the environment says it: the hub hands on nothing else."""
    database_url = database_url_from_environment()
    return {"environment": {"AIPLATFORM_DATABASE_URL": database_url}} if database_url else {}


def _completed(service: dict[str, Any], present: Sequence[Any]) -> dict[str, Any]:
    """Fill in what an entry of the same name leaves open, as zero-to-jupyterhub's ``hub.services`` does all but its token."""
    mine = next((entry for entry in present if entry.get("name") == service["name"]), None)
    if mine is not None:
        mine |= {key: value for key, value in service.items() if not mine.get(key)}
        mine.pop("command", None)  # in a cluster each service is a Deployment of its own
        service = mine
    if not service.get("api_token"):
        name = service["name"]
        raise ConfigurationError(
            f"The {name} service has no token: give the hub AIPLATFORM_{name.upper()}_TOKEN in its environment, "
            f"or declare hub.services.{name} in the Helm values, which makes one."
        )
    return service


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


def _add_billing_viewer(c: Config) -> None:
    """Define what a billing viewer may, and who is one: the groups that the operator names, and with none of them nobody."""
    read, dispute = BILLING_SCOPES
    scopes = {
        dispute: {"description": "Read invoices, reports and budgets of everybody, and dispute lines of invoices", "subscopes": [read]},
        read: {"description": "Read invoices, reports and budgets of everybody, and the sessions behind a line"},
    }
    present = _get(c.JupyterHub, "custom_scopes", {})
    if isinstance(present, LazyConfigValue):
        present.update(scopes)
    else:
        c.JupyterHub.custom_scopes = {**scopes, **present}
    role: dict[str, Any] = {"name": "aiplatform-billing-viewer", "description": "Reads what is billed, and disputes it", "scopes": [dispute]}
    groups = list(_get(c.AIPlatform, "billing_viewer_groups", []))
    _extend(c.JupyterHub, "load_roles", [{**role, "groups": groups}], key=lambda each: str(each.get("name")))


def _get(section: Config, name: str, default: Any) -> Any:
    """Return a value without making it: asking a Config for a missing name would leave a trace."""
    return section[name] if name in section else default  # noqa: SIM401 - Config.get makes lazy values


def _present(section: Config, name: str) -> list[Any]:
    """Return the items that a list has so far."""
    value = _get(section, name, [])
    return [*value._extend, *value._prepend] if isinstance(value, LazyConfigValue) else list(value)  # noqa: SLF001 - the only way to see what waits there


def _set_defaults(section: Config, **values: Any) -> None:
    for name, value in values.items():
        if name not in section:
            section[name] = value


def _extend(section: Config, name: str, items: Iterable[Any], key: Callable[[Any], str] = str) -> None:
    """Add what is not there yet, by its key; the operator's own entries win."""
    known = {key(item) for item in _present(section, name)}
    missing = [item for item in items if key(item) not in known]
    value = _get(section, name, [])
    if isinstance(value, LazyConfigValue):
        value.extend(missing)
    else:
        section[name] = [*value, *missing]
