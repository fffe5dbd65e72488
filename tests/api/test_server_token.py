"""What a server may do with its own token: look at itself, be kept longer, end itself. JupyterLab's notification asks with it."""

from __future__ import annotations

from pathlib import Path

import requests

OWN_SCOPES = {"read:servers", "delete:servers", "access:servers", "users:activity"}


def environment_of(place, user: str, name: str) -> dict[str, str]:
    """Return the environment that a server's process was started with."""
    allocation = next(a for a in place.hub.open_allocations() if (a.user_name, a.server_name) == (user, name))
    record = place.hub.factory.spool.read(allocation.id)
    pid = place.hub.ask(user, name)["pid"]
    assert record is not None
    pairs = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs if b"=" in pair)


def test_a_server_looks_at_itself_and_at_nothing_else(place):
    own = place.launch("user1", name="own", gpus=1).json()
    second = place.launch("user1", name="second").json()
    foreign = place.launch("user2", name="foreign").json()
    for launched in (own, second, foreign):
        place.wait_state(launched["user"], launched["id"], "active")
    environment = environment_of(place, "user1", "own")
    token, address = environment["JUPYTERHUB_API_TOKEN"], environment["AIPLATFORM_SERVICE_URL"]
    assert environment["AIPLATFORM_ALLOCATION_ID"] == own["id"]

    headers = {"Authorization": f"token {token}"}
    seen = requests.get(f"{address}api/v1/allocations/{own['id']}", headers=headers, timeout=30)
    assert seen.status_code == 200, seen.text
    assert seen.json()["release"]["action"] == "keep"
    for other in (second, foreign):
        assert place.call("GET", f"allocations/{other['id']}", token=token).status_code == 404
        assert place.call("POST", f"allocations/{other['id']}/extend", token=token).status_code == 404
        assert place.call("DELETE", f"allocations/{other['id']}", token=token).status_code == 404
    assert place.call("POST", "allocations", token=token, json={"environment_template": "trivial"}).status_code == 403
    mine = requests.get(f"{place.hub.url}/hub/api/user", headers=headers, timeout=30).json()
    assert {scope.partition("!")[0] for scope in mine["scopes"]} - OWN_SCOPES <= {
        scope for scope in ("read:users:name", "read:users:groups", "read:users:activity")
    }
    assert all("!server=user1/own" in scope for scope in mine["scopes"] if scope.partition("!")[0] in {"read:servers", "delete:servers"})

    extended = place.call("POST", f"allocations/{own['id']}/extend", token=token)
    assert extended.status_code == 200, extended.text
    assert extended.json()["release"]["extended_until"]
    assert place.call("DELETE", f"allocations/{own['id']}", token=token).status_code == 202
