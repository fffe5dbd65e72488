"""``install(c)`` sets what the operator left open, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from traitlets.config import Config

from aiplatform_hub.config import Secrets, Settings
from aiplatform_hub.install import install
from aiplatform_hub.services.culler.command import CONFIG_FILE
from aiplatform_hub.web.security_headers import NonceExtension, SecurityHeaders
from tests.support.hub import REPOSITORY

SETTINGS = Settings(data_dir=Path("/srv/aiplatform"), simulated_gpus=4, base_url="/lab/")
SECRETS = Secrets(platform_token="p" * 32, keeper_token="k" * 32, culler_token="c" * 32, supervisor_token="s" * 32, proxy_token="x" * 32)
RIGHTS = {
    "aiplatform-platform": {"list:users", "read:users", "read:servers", "delete:servers"},
    "aiplatform-keeper": {"list:users", "read:users", "read:servers", "start:servers", "delete:servers"},
    "aiplatform-culler": {"list:users", "read:users:activity", "read:servers", "delete:servers"},
    "aiplatform-supervisor": {"proxy"},
    "aiplatform-billing-viewer": {"custom:aiplatform:billing:dispute"},
}


def installed(c: Config | None = None, settings: Settings | None = SETTINGS, secrets: Secrets | None = SECRETS) -> Config:
    c = Config() if c is None else c
    install(c, settings, secrets)
    return c


def test_twice_is_the_same_as_once() -> None:
    c = installed()
    once = deepcopy(c)
    assert installed(c) == once


def test_operators_values_win() -> None:
    c = Config()
    c.JupyterHub.default_url = "/hub/home"
    c.JupyterHub.cleanup_servers = True
    c.AIPlatform.simulated_gpus = 1
    installed(c)
    assert (c.JupyterHub.default_url, c.JupyterHub.cleanup_servers, c.AIPlatform.simulated_gpus) == ("/hub/home", True, 1)


def test_answers_of_the_hub_get_headers_and_its_scripts_nonces() -> None:
    c = Config()
    c.JupyterHub.tornado_settings = {"transforms": [dict], "headers": {"X-Mine": "1"}}
    c.JupyterHub.jinja_environment_options = {"extensions": ["jinja2.ext.do"]}
    for _ in range(2):
        installed(c)
        assert c.JupyterHub.tornado_settings == {"transforms": [dict, SecurityHeaders], "headers": {"X-Mine": "1"}}
        assert c.JupyterHub.jinja_environment_options == {"extensions": ["jinja2.ext.do", NonceExtension]}


def test_operators_lists_are_extended() -> None:
    c = Config()
    c.JupyterHub.services = [{"name": "mine", "url": "http://127.0.0.1:1"}]
    c.JupyterHub.load_roles = [{"name": "mine", "scopes": []}]
    c.JupyterHub.template_paths = ["/etc/mine"]
    c.JupyterHub.extra_user_scopes = {"access:services!service=mine"}
    installed(c)
    assert [service["name"] for service in c.JupyterHub.services] == ["mine", "platform", "keeper", "culler", "supervisor"]
    assert c.JupyterHub.load_roles[0]["name"] == "mine"
    assert c.JupyterHub.template_paths[0] == "/etc/mine"
    assert c.JupyterHub.extra_user_scopes == {"access:services!service=mine", "access:services!service=platform"}


def test_lists_that_the_operator_appends_to_are_extended() -> None:
    c = Config()
    c.JupyterHub.services.append({"name": "mine"})
    installed(installed(c))
    assert [service["name"] for service in c.JupyterHub.services.get_value([])] == ["mine", "platform", "keeper", "culler", "supervisor"]


def test_roles_are_exactly_the_agreed_rights() -> None:
    assert {role["name"]: set(role["scopes"]) for role in installed().JupyterHub.load_roles} == RIGHTS


def test_billing_viewers_are_the_members_of_the_groups_that_are_named() -> None:
    def role(c: Config) -> dict:
        return next(each for each in c.JupyterHub.load_roles if each["name"] == "aiplatform-billing-viewer")

    assert role(installed())["groups"] == [], "nobody, and a group that is not named any more loses the role"
    c = Config()
    c.AIPlatform.billing_viewer_groups = ["finance"]
    c.JupyterHub.custom_scopes = {"custom:mine": {"description": "x"}}
    assert role(installed(installed(c)))["groups"] == ["finance"]
    assert set(c.JupyterHub.custom_scopes) == {"custom:mine", "custom:aiplatform:billing:read", "custom:aiplatform:billing:dispute"}
    platform = next(service for service in c.JupyterHub.services if service["name"] == "platform")
    assert {"custom:aiplatform:billing:read", "custom:aiplatform:billing:dispute"} <= set(platform["oauth_client_allowed_scopes"]), "pages have them too"


def test_supervised_services_are_external_and_the_proxy_is_not_started() -> None:
    c = installed()
    services = {service["name"]: service for service in c.JupyterHub.services}
    assert all("command" not in service for service in services.values())
    assert services["platform"]["api_token"] == SECRETS.platform_token
    assert (c.ConfigurableHTTPProxy.should_start, c.ConfigurableHTTPProxy.auth_token) == (False, SECRETS.proxy_token)


def test_without_secrets_the_hub_manages_the_services() -> None:
    c = installed(secrets=None)
    services = {service["name"]: service for service in c.JupyterHub.services}
    assert set(services) == {"platform", "keeper", "culler"}
    assert services["culler"]["command"][1:4] == ["-m", "jupyterhub_idle_culler", "--timeout=14400"]
    assert f"--config={CONFIG_FILE}" in services["culler"]["command"]
    assert services["keeper"]["command"][1:6] == ["-m", "aiplatform_hub.supervisor.managed_service", "keeper", "--data-dir", "/srv/aiplatform"]
    assert "--hub-api-url" not in services["platform"]["command"]
    assert "should_start" not in c.ConfigurableHTTPProxy


@pytest.mark.parametrize("secrets", [None, SECRETS], ids=["managed", "supervised"])
def test_culler_runs_for_the_policy_where_the_place_ends_nothing(secrets: Secrets | None) -> None:
    c = installed(settings=replace(SETTINGS, stop_inactive_minutes=0), secrets=secrets)
    (culler,) = (service for service in c.JupyterHub.services if service["name"] == "culler")
    assert "aiplatform-culler" in {role["name"] for role in c.JupyterHub.load_roles}
    if secrets is None:
        assert {"--timeout=0", "--cull-every=300"} <= set(culler["command"])


def test_home_follows_the_base_url() -> None:
    assert installed().JupyterHub.default_url == "/lab/services/platform/home"


def test_settings_come_from_the_traits() -> None:
    c = Config()
    c.AIPlatform.data_dir = "/srv/other"
    c.JupyterHub.base_url = "/deep"
    install(c)
    assert c.JupyterHub.default_url == "/deep/services/platform/home"
    assert "/srv/other" in c.JupyterHub.services[0]["command"]


@pytest.mark.parametrize("scope", ["admin:users", "tokens", "groups", "access:servers"])
def test_no_service_has_a_right_that_leads_to_all(scope: str) -> None:
    assert all(scope not in role["scopes"] for role in installed().JupyterHub.load_roles)


def test_configuration_file_is_a_few_lines() -> None:
    text = (REPOSITORY / "jupyterhub_config.py").read_text()
    c = Config()
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: c})  # noqa: S102 - as JupyterHub does
    assert c.JupyterHub.spawner_class == "aiplatform_hub.hub.local.LocalSpawner"
    assert len(text.splitlines()) < 15


@pytest.mark.parametrize(
    ("chosen", "user_host"),
    [(None, "ada.hub.example.org"), ("legacy", "ada.hub.example.org"), (lambda name, domain, kind: f"{kind}-{name}.{domain}", "user-ada.hub.example.org")],
)
def test_with_host_names_for_people_the_platform_stays_on_the_hubs(chosen: object, user_host: str) -> None:
    c = Config()
    if chosen:
        c.JupyterHub.subdomain_hook = chosen
    hook = installed(installed(c)).JupyterHub.subdomain_hook
    assert hook("platform", "hub.example.org", kind="service") == "hub.example.org"
    assert hook("ada", "hub.example.org", kind="user") == user_host
    assert hook("platform", "hub.example.org", kind="user") != "hub.example.org"


def test_a_hub_on_its_own_starts_the_installed_proxy() -> None:
    assert "aiplatform_hub.supervisor.managed_proxy" in installed(secrets=None).ConfigurableHTTPProxy.command
