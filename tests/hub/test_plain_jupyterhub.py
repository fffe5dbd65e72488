"""``jupyterhub -f jupyterhub_config.py`` alone, without ``aiplatform run``: the hub runs proxy and services."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.hub import REPOSITORY, free_port, wait_for

TOKEN = "token-of-alice"
CONFIG = """
c = get_config()
c.AIPlatform.data_dir = {data!r}
c.AIPlatform.simulated_gpus = 4
c.AIPlatform.demo = True
c.AIPlatform.platform_port = {platform_port}
c.AIPlatform.keeper_port = {keeper_port}
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {{"alice"}}
c.JupyterHub.bind_url = {url!r}
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.api_tokens = {{{token!r}: "alice"}}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
exec(open({repository_config!r}).read())
"""


@pytest.fixture
def url() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="aiplatform-plain-"))
    folder.chmod(0o711)
    address = f"http://127.0.0.1:{free_port()}"
    config = CONFIG.format(
        data=str(folder / "data"),
        url=address,
        token=TOKEN,
        repository_config=str(REPOSITORY / "jupyterhub_config.py"),
        **{f"{name}_port": free_port() for name in ("platform", "keeper", "hub", "proxy")},
    )
    (folder / "jupyterhub_config.py").write_text(config)
    with (folder / "log").open("wb") as log:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        hub = subprocess.Popen([sys.executable, "-m", "jupyterhub"], cwd=folder, stdout=log, stderr=log, env=environment)
    try:
        yield address
    finally:
        hub.send_signal(signal.SIGINT)
        hub.wait(30)
        if not os.environ.get("AIPLATFORM_KEEP_TEST_FOLDERS"):
            shutil.rmtree(folder, ignore_errors=True)


def _status(address: str) -> int:
    try:
        return requests.get(address, timeout=5, headers={"Authorization": f"token {TOKEN}"}).status_code
    except requests.RequestException:
        return 0


def test_a_few_lines_give_a_hub_with_both_services(url: str) -> None:
    wait_for(lambda: _status(f"{url}/services/platform/api/v1/allocations") == 200, "the platform answers", seconds=60, interval=0.5)

    def capacity() -> list[dict[str, object]]:
        answer = requests.get(f"{url}/services/platform/api/v1/capacity", timeout=5, headers={"Authorization": f"token {TOKEN}"})
        found: list[dict[str, object]] = answer.json().get("gpu_types", [])
        return found

    assert wait_for(capacity, "the keeper has registered the machine", seconds=60, interval=0.5)[0]["total"] == 4
    answer = requests.post(
        f"{url}/hub/api/users/alice/servers/x",
        json={"user_options": {"environment_template": "pytorch"}},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=10,
    )
    assert answer.status_code == 409, answer.text
    assert "aiplatform environments build pytorch" in answer.json()["message"]
