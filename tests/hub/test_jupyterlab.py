"""A real JupyterLab behind a real hub."""

from __future__ import annotations

import sys
from pathlib import Path

import requests

from aiplatform_hub.errors import ConflictError
from aiplatform_hub.hub.accounts import account_for, check_reach
from tests.support.hub import RealHub


def test_real_jupyterlab_starts_answers_and_ends(hub: RealHub) -> None:
    answer = hub.start_server("user7", "lab", {"environment_template": "jupyterlab", "gpus": 2})
    try:
        check_reach(account_for("user7", hub.settings, "nobody"), Path(sys.prefix) / "bin" / "jupyterhub-singleuser")
    except ConflictError:
        # This Python is closed to the unprivileged account: then the platform must say so and start nothing.
        assert answer.status_code == 409
        assert "chmod o+x" in answer.json()["message"]
        assert not hub.open_allocations()
        return
    assert answer.status_code in {201, 202}, answer.text
    hub.wait_ready("user7", "lab", seconds=60)
    (allocation,) = hub.open_allocations()
    headers = {"Authorization": f"token {hub.tokens['user7']}"}
    status = requests.get(f"{hub.url}/user/user7/lab/api/status", headers=headers, timeout=10)
    assert status.status_code == 200, status.text
    assert status.json()["kernels"] == 0
    hub.stop_server("user7", "lab").raise_for_status()
    record = hub.factory.spool.read(allocation.id)
    assert record is None or not record.is_alive
    assert not hub.open_allocations()
