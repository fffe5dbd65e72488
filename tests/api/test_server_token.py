"""What a server may do with its own token: look at itself, be kept longer, end itself. JupyterLab's notification asks with it."""

from __future__ import annotations

from pathlib import Path

import requests

OWN_SCOPES = {"read:servers", "delete:servers", "access:servers", "users:activity", "read:users:name", "read:users:groups", "read:users:activity"}


def environment_of(place, user: str, name: str) -> dict[str, str]:
    """Return the environment that a server's process was started with."""
    pid = place.hub.ask(user, name)["pid"]
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
    assert {scope.partition("!")[0] for scope in mine["scopes"]} <= OWN_SCOPES
    assert all("!server=user1/own" in scope for scope in mine["scopes"] if scope.partition("!")[0] in {"read:servers", "delete:servers"})

    extended = place.call("POST", f"allocations/{own['id']}/extend", token=token)
    assert extended.status_code == 200, extended.text
    assert extended.json()["release"]["extended_until"]
    assert place.call("DELETE", f"allocations/{own['id']}", token=token).status_code == 202


def test_a_token_that_only_reads_does_not_keep_a_session(place):
    own = place.launch("user3", name="own", gpus=1).json()
    place.wait_state("user3", own["id"], "active")
    address = f"{place.hub.url}/services/platform/sessions/{own['id']}/extend"
    answers = {}
    for scopes in (("read:servers!user",), ("read:servers!user", "delete:servers!user")):
        headers = {"Authorization": f"Bearer {place.token('user3', *scopes)}"}
        answers[scopes[-1]] = requests.post(address, headers=headers, allow_redirects=False, timeout=30).status_code
    assert answers == {"read:servers!user": 403, "delete:servers!user": 303}
