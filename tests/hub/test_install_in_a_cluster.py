"""The same configuration file, in a cluster and under zero-to-jupyterhub."""

from __future__ import annotations

from argparse import ArgumentParser
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from aiplatform_hub.config import Place, Secrets, Settings, add_arguments, arguments_of, detect_namespace, detect_place, settings_from
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.install import KUBE_SPAWNER, install, install_from_values
from aiplatform_hub.services.culler.command import CONFIG_FILE

SETTINGS = Settings(data_dir=Path("/srv/aiplatform"), place=Place.CLUSTER, namespace="jhub")
SECRETS = Secrets(platform_token="p" * 32, keeper_token="k" * 32)


def chart() -> Config:
    """What zero-to-jupyterhub has set by the time its hub.extraConfig runs."""
    c = Config()
    c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    c.JupyterHub.cleanup_servers = False
    c.ConfigurableHTTPProxy.should_start = False
    c.KubeSpawner.namespace = "jhub"
    c.JupyterHub.services = [
        {"name": "jupyterhub-idle-culler", "command": ["python3"]},
        {"name": "platform", "api_token": "from-the-chart", "url": "http://aiplatform-platform.jhub:8090", "display": True},
        {"name": "keeper", "api_token": "also-from-the-chart"},
    ]
    c.JupyterHub.load_roles = [{"name": "jupyterhub-idle-culler", "scopes": ["list:users"]}]
    return c


def services(c: Config) -> dict[str, dict[str, Any]]:
    found = {service["name"]: service for service in c.JupyterHub.services}
    assert len(found) == len(c.JupyterHub.services)
    return found


@pytest.fixture
def pod(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("x")
    (tmp_path / "namespace").write_text("jhub\n")
    return tmp_path


def test_a_pod_with_a_service_account_is_in_a_cluster(pod: Path) -> None:
    assert (detect_place(pod), detect_namespace(pod)) == (Place.CLUSTER, "jhub")


def test_anything_else_is_a_machine(tmp_path: Path) -> None:
    assert (detect_place(tmp_path), detect_namespace(tmp_path)) == (Place.MACHINE, "default")


@pytest.mark.parametrize("stock", ["kubespawner.KubeSpawner", "kubespawner", None])
def test_ours_takes_the_stock_spawners_place(stock: str | None) -> None:
    c = Config()
    if stock:
        c.JupyterHub.spawner_class = stock
    install(c, SETTINGS, SECRETS)
    assert c.JupyterHub.spawner_class == KUBE_SPAWNER


def test_stock_spawner_as_a_class_is_replaced_too() -> None:
    from kubespawner import KubeSpawner

    c = Config()
    c.JupyterHub.spawner_class = KubeSpawner
    install(c, SETTINGS, SECRETS)
    assert c.JupyterHub.spawner_class == KUBE_SPAWNER


def test_the_operators_own_spawner_stays() -> None:
    c = Config()
    c.JupyterHub.spawner_class = "mine.Spawner"
    install(c, SETTINGS, SECRETS)
    assert c.JupyterHub.spawner_class == "mine.Spawner"


def test_services_of_the_chart_are_completed_not_doubled() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster"})
    found = services(c)
    assert list(found) == ["jupyterhub-idle-culler", "platform", "keeper"]
    assert found["platform"]["api_token"] == "from-the-chart"
    assert found["platform"]["url"] == "http://aiplatform-platform.jhub:8090"
    assert found["platform"]["oauth_no_confirm"] is True
    assert found["jupyterhub-idle-culler"]["command"] == ["python3"]
    assert not any("command" in found[name] for name in ("platform", "keeper"))
    assert {role["name"] for role in c.JupyterHub.load_roles} == {
        "jupyterhub-idle-culler",
        "aiplatform-platform",
        "aiplatform-keeper",
        "aiplatform-billing-viewer",
    }


def test_culler_of_the_chart_asks_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_DATABASE_URL", "postgresql+psycopg://hub:secret@db/hub")
    c = chart()
    stock = ["python3", "-m", "jupyterhub_idle_culler", "--timeout=14400"]
    c.JupyterHub.services[0]["command"] = stock
    c.JupyterHub.services.append({"name": "own", "command": [*stock, "--config=/etc/mine.py"]})
    for _ in range(2):
        install_from_values(c, {"place": "cluster"})
    found = services(c)["jupyterhub-idle-culler"]
    assert found["command"][:6] == [*stock, f"--config={CONFIG_FILE}", "--"]
    assert "secret" not in " ".join(found["command"])
    assert found["environment"] == {"AIPLATFORM_DATABASE_URL": "postgresql+psycopg://hub:secret@db/hub"}
    assert services(c)["own"]["command"] == [*stock, "--config=/etc/mine.py"]
    assert "culler" not in services(c)
    assert c.AIPlatform.stop_inactive_minutes == 240, "what the chart says, for the Policy page"


@pytest.mark.parametrize(("words", "minutes"), [(["--timeout=5401"], 91), (["--timeout", "60"], 1), ([], 10)])
def test_limit_of_the_place_is_what_the_charts_culler_is_started_with(words: list[str], minutes: int) -> None:
    c = chart()
    c.JupyterHub.services[0]["command"] = ["python3", "-m", "jupyterhub_idle_culler", *words]
    install_from_values(c, {"place": "cluster"})
    assert c.AIPlatform.stop_inactive_minutes == minutes


def test_without_a_culler_nothing_is_promised() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster"})
    assert c.AIPlatform.stop_inactive_minutes == 0


def test_without_entries_tokens_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_PLATFORM_TOKEN", "p")
    monkeypatch.setenv("AIPLATFORM_KEEPER_TOKEN", "k")
    c = Config()
    install(c, SETTINGS)
    found = services(c)
    assert (found["platform"]["api_token"], found["keeper"]["api_token"]) == ("p", "k")
    assert found["platform"]["url"] == "http://aiplatform-platform:8090"
    assert "command" not in found["platform"]
    assert c.ConfigurableHTTPProxy.should_start is False


def test_a_missing_token_is_named() -> None:
    with pytest.raises(ConfigurationError, match="AIPLATFORM_PLATFORM_TOKEN"):
        install(Config(), SETTINGS)


def test_twice_is_the_same_as_once() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster"})
    once = deepcopy(c)
    install_from_values(c, {"place": "cluster"})
    assert c == once


def test_refusals_are_not_hidden_behind_the_progress_page() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster"})
    assert c.JupyterHub.tornado_settings["slow_spawn_timeout"] == 1


def test_namespace_and_namespaces_per_user_follow_what_kubespawner_was_told() -> None:
    c = chart()
    c.KubeSpawner.enable_user_namespaces = True
    install_from_values(c, {"place": "cluster"})
    assert (c.AIPlatform.namespace, c.AIPlatform.namespace_per_user) == ("jhub", True)


def test_a_namespace_for_each_person_reaches_kubespawner() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster", "namespacePerUser": True})
    assert c.KubeSpawner.enable_user_namespaces is True


def test_values_are_our_traits_in_camel_case() -> None:
    c = chart()
    install_from_values(c, {"place": "cluster", "imagePrefix": "registry.example.org/x/", "nodeLostSeconds": 60, "catalogDirs": ["/etc/catalog"]})
    assert (c.AIPlatform.image_prefix, c.AIPlatform.node_lost_seconds, c.AIPlatform.catalog_dirs) == ("registry.example.org/x/", 60, ["/etc/catalog"])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"imagePrefx": "x"}, "custom.aiPlatform.imagePrefx is not known; did you mean imagePrefix"),
        ({"image_prefix": "x"}, "did you mean imagePrefix"),
        ({"zzz": 1}, "custom.aiPlatform.zzz is not known; known are allowedImages"),
        ({"nodeLostSeconds": "soon"}, "custom.aiPlatform.nodeLostSeconds is not right"),
        ({"nodeLostSeconds": 0}, "custom.aiPlatform.nodeLostSeconds is not right"),
        (["x"], "custom.aiPlatform must be a mapping"),
    ],
)
def test_wrong_values_stop_the_hub_with_the_nearest_right_key(values: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        install_from_values(chart(), values)


def test_every_wrong_value_is_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        install_from_values(chart(), {"a": 1, "b": 2})
    assert ".a is" in caught.value.message
    assert ".b is" in caught.value.message


def parsed(*arguments: str) -> Settings:
    parser = ArgumentParser()
    add_arguments(parser)
    return settings_from(parser.parse_args(arguments))


def test_options_give_the_settings_again() -> None:
    settings = replace(SETTINGS, is_namespace_per_user=True, node_lost_seconds=20, image_prefix="r/", service_host="0.0.0.0")
    assert parsed(*arguments_of(settings)) == settings


def test_database_address_comes_from_the_environment_and_stays_off_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_DATABASE_URL", "postgresql+psycopg://hub:secret@db/aiplatform")
    settings = parsed()
    assert settings.database_url == "postgresql+psycopg://hub:secret@db/aiplatform"
    assert not any("secret" in argument for argument in arguments_of(settings))
    c = Config()
    install(c, replace(settings, place=Place.MACHINE))
    assert not any("secret" in argument for service in c.JupyterHub.services for argument in service["command"])
    assert services(c)["keeper"]["environment"] == {"AIPLATFORM_DATABASE_URL": settings.database_url}
    assert "database_url" not in c.AIPlatform


def test_the_keeper_may_ask_who_people_are_and_start_their_servers_but_no_more() -> None:
    for choice in (False, True):
        c = Config()
        install(c, replace(SETTINGS, is_namespace_per_user=choice), SECRETS)
        scopes = {role["name"]: set(role["scopes"]) for role in c.JupyterHub.load_roles}["aiplatform-keeper"]
        assert scopes == {"list:users", "read:users", "read:servers", "start:servers", "delete:servers"}
