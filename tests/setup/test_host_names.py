"""With ``subdomain_host`` each person's server has a host of its own, and everything else stays on the hub's."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from installation import Installation, until


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    found = Installation()
    found.data_dir.mkdir()
    (found.data_dir / "jupyterhub_config.py").write_text(f'c.JupyterHub.subdomain_host = "http://hub.localhost:{found.port}"\n')
    real = socket.getaddrinfo
    # Browsers know that *.localhost is this machine; not every resolver does.
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: real("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named))
    try:
        yield found
    finally:
        found.remove()


def test_login_and_a_session_on_a_host_of_its_own(installation: Installation) -> None:
    hub = f"http://hub.localhost:{installation.port}"
    assert f"Ready: {hub}/" in installation.start()

    browser = requests.Session()
    assert _log_in(browser, hub, "student", installation.password("student")) == f"{hub}/services/platform/home"
    admin = requests.Session()
    _log_in(admin, hub, "admin", installation.password("admin"))
    assert "have a host name of their own" in admin.get(f"{hub}/services/platform/admin/health", timeout=10).text

    header = {"Authorization": f"token {installation.token('student')}"}
    api = f"{hub}/services/platform/api/v1/allocations"
    made = requests.post(api, json={"environment_template": "jupyterlab"}, headers=header, timeout=30).json()

    def ready() -> Any:
        seen = requests.get(f"{api}/{made['id']}", headers=header, timeout=10).json()
        return seen["url"] if seen["is_ready"] else None

    address = str(until(ready, 60, "the server is ready"))
    assert browser.get(f"{hub}{address}api/status" if address.startswith("/") else f"{address}api/status", timeout=20).url.startswith(
        f"http://student.hub.localhost:{installation.port}/user/student/"
    )


def _log_in(browser: requests.Session, hub: str, name: str, password: str) -> str:
    page = browser.get(f"{hub}/", timeout=10)
    field = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert field is not None
    return browser.post(page.url, data={"username": name, "password": password, "_xsrf": field[1]}, timeout=20).url
