"""What a server gets so that JupyterLab can say when its GPUs are given back, and what its extension says when nobody answers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from aiplatform_hub.config import Place, Settings
from aiplatform_hub.hub.jupyter import JUPYTER_DIR, service_address, with_our_jupyter
from tests.support.hub import free_port

LABEXTENSION = JUPYTER_DIR / "labextensions" / "aiplatform-hub"


@pytest.fixture
def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("aiplatform_session", JUPYTER_DIR / "config" / "aiplatform_session.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_our_folders_come_behind_the_operators() -> None:
    environment = with_our_jupyter({"JUPYTER_PATH": "/opt/jupyter", "HOME": "/home/ada"})
    assert environment["JUPYTER_PATH"].split(os.pathsep) == ["/opt/jupyter", str(JUPYTER_DIR)]
    assert environment["JUPYTER_CONFIG_PATH"] == str(JUPYTER_DIR / "config")
    assert environment["HOME"] == "/home/ada"


def test_servers_are_told_where_the_platform_is() -> None:
    machine = Settings(data_dir=Path("/srv"), base_url="/lab/", platform_port=18090)
    assert service_address(machine) == "http://127.0.0.1:18090/lab/services/platform/"
    cluster = replace(machine, place=Place.CLUSTER, base_url="/", platform_url="http://platform:8090", namespace="jupyterhub")
    assert service_address(cluster) == "http://platform:8090/services/platform/"
    apart = replace(cluster, is_namespace_per_user=True)
    assert service_address(apart) == "http://platform.jupyterhub:8090/services/platform/", "a mere name is only known in its own namespace"


def test_platform_away_leaves_nothing_to_say(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_SERVICE_URL", f"http://127.0.0.1:{free_port()}/")
    monkeypatch.setenv("AIPLATFORM_ALLOCATION_ID", "x")
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "y")
    answer = asyncio.run(extension.ask_platform("GET"))
    assert extension.decoded(answer) == {}
    assert extension.told({})["release"] is None


def test_without_a_hub_nobody_is_asked(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIPLATFORM_SERVICE_URL", raising=False)
    assert asyncio.run(extension.ask_platform("GET")) is None


def test_home_is_on_the_hubs_host(extension: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_HOST", "https://hub.example.org")
    monkeypatch.setenv("JUPYTERHUB_BASE_URL", "/lab/")
    assert extension.told({})["home_url"] == "https://hub.example.org/lab/services/platform/home"


def test_labextension_names_what_is_there() -> None:
    package = json.loads((LABEXTENSION / "package.json").read_text())
    assert (LABEXTENSION / package["jupyterlab"]["_build"]["load"]).is_file()
    assert f'_JUPYTERLAB["{package["name"]}"]' in (LABEXTENSION / "static" / "remoteEntry.js").read_text()
