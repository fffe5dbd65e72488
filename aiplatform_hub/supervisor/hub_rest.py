"""The hub's REST API for the operator's side: re-check of routes, health, users and tokens. Blocks; never used inside the hub."""

from __future__ import annotations

import warnings
from typing import Any
from urllib.parse import quote

import requests

from aiplatform_hub.errors import ForbiddenError, NotFoundError, ServiceUnavailableError

_NOT_FOUND, _CONFLICT = 404, 409


def answers(address: str, *, timeout_seconds: float = 2) -> bool:
    """Whether a page answers without an error. A certificate is not checked: it is our own proxy."""
    with requests.Session() as session, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session.trust_env = False
        try:
            return session.get(address, timeout=timeout_seconds, verify=False).ok
        except requests.RequestException:
            return False


class HubRest:
    """Calls the hub with one token.

    Parameters
    ----------
    api_url
        The hub's API, for example ``http://127.0.0.1:8081/hub/api``.
    token
        Token of the service in whose name it acts.
    """

    def __init__(self, *, api_url: str, token: str, timeout_seconds: float = 10) -> None:
        self._api_url = api_url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = False  # never over a company's proxy: this is loopback
        self._session.headers["Authorization"] = f"token {token}"
        self._timeout_seconds = timeout_seconds

    def is_healthy(self) -> bool:
        """Whether the hub answers."""
        try:
            return self._session.get(f"{self._api_url}/", timeout=self._timeout_seconds).ok
        except requests.RequestException:
            return False

    def sync_routes(self) -> bool:
        """Ask the hub to write its routes into the proxy again; False when that did not work."""
        try:
            return self._session.post(f"{self._api_url}/proxy", timeout=self._timeout_seconds).ok
        except requests.RequestException:
            return False

    def has_user(self, name: str) -> bool:
        """Whether the hub knows this person."""
        return self._call("GET", f"/users/{quote(name, safe='')}", allow=(_NOT_FOUND,)).status_code != _NOT_FOUND

    def create_user(self, name: str) -> None:
        """Create a person; one who exists already is no error."""
        self._call("POST", f"/users/{quote(name, safe='')}", {}, allow=(_CONFLICT,))

    def make_admin(self, name: str) -> None:
        """Make a person an admin."""
        self._call("PATCH", f"/users/{quote(name, safe='')}", {"admin": True})

    def create_token(self, name: str, *, note: str, expires_in_seconds: int | None) -> str:
        """Return a new API token of a person."""
        body: dict[str, Any] = {"note": note}
        if expires_in_seconds:
            body["expires_in"] = expires_in_seconds
        return str(self._call("POST", f"/users/{quote(name, safe='')}/tokens", body).json()["token"])

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, *, allow: tuple[int, ...] = ()) -> requests.Response:
        try:
            response = self._session.request(method, f"{self._api_url}{path}", json=body, timeout=self._timeout_seconds)
        except requests.RequestException as error:
            raise ServiceUnavailableError("The hub does not answer. Look at logs/hub.log in the data directory.") from error
        if response.ok or response.status_code in allow:
            return response
        try:
            message = str(response.json().get("message", ""))
        except ValueError:
            message = ""
        sentence = f"The hub refused {method} {path}: {message or response.reason} ({response.status_code})."
        raise NotFoundError(sentence) if response.status_code == _NOT_FOUND else ForbiddenError(sentence)
