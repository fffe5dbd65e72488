"""JupyterHub's REST API, as far as the services need it. Never blocks the event loop."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from aiplatform_hub.errors import ServiceUnavailableError

UNAVAILABLE = "JupyterHub does not answer. Running servers go on; try again in a minute."
_NOT_FOUND = 404
_PAGE = 50
"""Users asked for at once; the hub gives no more than its own limit, which is larger."""


class HubUnreachableError(ServiceUnavailableError):
    """No connection was made, so the hub did nothing."""


@dataclass(frozen=True, slots=True)
class HubUser:
    """A person as the hub knows them."""

    id: int
    name: str
    is_admin: bool
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class HubPeople:
    """Some of the people whom the hub has, in order of their names."""

    total: int
    """How many there are that fit, on all pages."""
    people: tuple[HubUser, ...]


@dataclass(frozen=True, slots=True)
class HubAnswer:
    """The hub's answer to a start or stop."""

    status: int
    message: str
    """The hub's own sentence, empty when it gave none."""
    retry_after_seconds: int | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the hub accepted."""
        return self.status < 400  # noqa: PLR2004 - HTTP


class HubApiClient:
    """Calls the hub with the service's own token, or with the caller's.

    Parameters
    ----------
    api_url
        The hub's API, for example ``http://127.0.0.1:8081/hub/api``.
    token
        The service's own token.
    timeout_seconds
        Longest wait for an answer to a question; starts and stops wait ``action_timeout_seconds``.
    """

    def __init__(self, *, api_url: str, token: str, timeout_seconds: float = 5, action_timeout_seconds: float = 30) -> None:
        self._api_url = api_url.rstrip("/")
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._action_timeout_seconds = action_timeout_seconds

    async def whoami(self) -> dict[str, Any]:
        """Return the owner of the service's own token, with ``scopes``.

        Raises
        ------
        ServiceUnavailableError
            If the hub does not answer or does not know the token.
        """
        response = await self._fetch("GET", "/user")
        if response.code != 200:  # noqa: PLR2004 - HTTP
            raise ServiceUnavailableError("JupyterHub does not know this service's token.")
        model: dict[str, Any] = json.loads(response.body)
        return model

    async def user(self, name: str) -> HubUser | None:
        """Return a person, or None when the hub has nobody of this name.

        Raises
        ------
        ServiceUnavailableError
            If the hub does not answer, or does not let this service read users.
        """
        return await self._person(f"users/{quote(name, safe='', errors='replace')}", name)

    async def user_of_id(self, user_id: int) -> HubUser | None:
        """Return the person who has an id, under whatever name, or None when the hub has nobody of it.

        Raises
        ------
        ServiceUnavailableError
            As :meth:`user`.
        """
        return await self._person(f"user-ids/{user_id}", f"number {user_id}")

    async def _person(self, address: str, who: str) -> HubUser | None:
        response = await self._fetch("GET", f"/aiplatform/{address}")
        if response.code == _NOT_FOUND:
            return None
        if response.code != 200:  # noqa: PLR2004 - HTTP
            raise ServiceUnavailableError(f"JupyterHub did not tell who {who} is: {_answer(response).message or response.code}.")
        return _user(json.loads(response.body))

    async def people(self, *, search: str = "", groups: Collection[str] | None = None, offset: int = 0, limit: int = _PAGE) -> HubPeople:
        """Return a page of the people whose names hold a text.

        Parameters
        ----------
        groups
            Only members of at least one of these; None asks for no group.

        Raises
        ------
        ServiceUnavailableError
            As :meth:`user`.
        """
        query = [("search", search), ("offset", offset), ("limit", limit), *(("group", group) for group in sorted(groups or ()))]
        if groups is not None and not groups:
            return HubPeople(0, ())
        response = await self._fetch("GET", f"/aiplatform/people?{urlencode(query, errors='replace')}")
        if response.code != 200:  # noqa: PLR2004 - HTTP
            raise ServiceUnavailableError(f"JupyterHub did not tell who its users are: {_answer(response).message or response.code}.")
        model = json.loads(response.body)
        return HubPeople(model["total"], tuple(_user(one) for one in model["people"]))

    async def user_names(self) -> tuple[str, ...]:
        """Return the names of everybody whom the hub has.

        Raises
        ------
        ServiceUnavailableError
            If the hub does not answer, or does not let this service list users.
        """
        names: list[str] = []
        while True:
            response = await self._fetch("GET", f"/users?limit={_PAGE}&offset={len(names)}")
            if response.code != 200:  # noqa: PLR2004 - HTTP
                raise ServiceUnavailableError(f"JupyterHub did not tell who its users are: {_answer(response).message or response.code}.")
            page = [str(user["name"]) for user in json.loads(response.body)]
            names += page
            if len(page) < _PAGE:
                return tuple(names)

    async def servers_of(self, user_name: str) -> frozenset[str]:
        """Return the names of a person's servers that run, start or stop; none when the hub has nobody of this name.

        Raises
        ------
        ServiceUnavailableError
            If the hub does not answer, or does not let this service read servers.
        """
        response = await self._fetch("GET", f"/users/{quote(user_name, safe='')}")
        if response.code == _NOT_FOUND:
            return frozenset()
        model = json.loads(response.body) if response.code == 200 else {}  # noqa: PLR2004 - HTTP
        if "servers" not in model:
            raise ServiceUnavailableError(f"JupyterHub did not tell the servers of {user_name}: {_answer(response).message or response.code}.")
        return frozenset(model["servers"])

    async def traffic(self) -> dict[tuple[str, str], datetime]:
        """Return the last traffic to each server by person and name, as the proxy says at this moment; what it does not tell is not named.

        Raises
        ------
        ServiceUnavailableError
            If hub or proxy do not answer, or do not tell this service.
        """
        response = await self._fetch("GET", "/aiplatform/traffic")
        if response.code != 200:  # noqa: PLR2004 - HTTP
            raise ServiceUnavailableError(f"JupyterHub did not tell the traffic to servers: {_answer(response).message or response.code}.")
        rows = json.loads(response.body)["servers"]
        return {(row["user"], row["name"]): datetime.fromisoformat(row["active_at"]).astimezone(UTC) for row in rows}

    async def start_server(self, user_name: str, server_name: str, options: dict[str, object], *, token: str = "") -> HubAnswer:
        """Ask the hub, with the caller's token or else the service's own, to start a server.

        Raises
        ------
        HubUnreachableError
            If no connection was made.
        ServiceUnavailableError
            If the hub did not answer; the start may go on.
        """
        body = {"user_options": options}
        return _answer(await self._fetch("POST", _server_path(user_name, server_name), body, token=token, timeout=self._action_timeout_seconds))

    async def stop_server(self, user_name: str, server_name: str, *, token: str = "") -> HubAnswer:
        """Ask the hub, with the caller's token or else the service's own, to stop a server.

        Raises
        ------
        HubUnreachableError, ServiceUnavailableError
            As :meth:`start_server`.
        """
        return _answer(await self._fetch("DELETE", _server_path(user_name, server_name), token=token, timeout=self._action_timeout_seconds))

    async def _fetch(self, method: str, path: str, body: Any = None, *, token: str = "", timeout: float | None = None) -> HTTPResponse:  # noqa: ASYNC109 - tornado takes it so
        request = HTTPRequest(
            self._api_url + path,
            method=method,
            headers={"Authorization": f"Bearer {token or self._token}", "Content-Type": "application/json", "Accept": "application/json"},
            body=None if body is None else json.dumps(body),
            connect_timeout=3,
            request_timeout=timeout or self._timeout_seconds,
            follow_redirects=False,
            allow_nonstandard_methods=True,
        )
        try:
            return await AsyncHTTPClient().fetch(request, raise_error=False)
        except ConnectionRefusedError as error:
            raise HubUnreachableError(UNAVAILABLE, retry_after_seconds=5) from error
        except (OSError, HTTPClientError) as error:
            raise ServiceUnavailableError(UNAVAILABLE, retry_after_seconds=5) from error


def _user(model: dict[str, Any]) -> HubUser:
    return HubUser(id=model["id"], name=model["name"], is_admin=model["admin"], groups=frozenset(model["groups"]))


def _server_path(user_name: str, server_name: str) -> str:
    """Return the address of a server; the default server has one of its own."""
    user = f"/users/{quote(user_name, safe='')}"
    return f"{user}/servers/{quote(server_name, safe='')}" if server_name else f"{user}/server"


def _answer(response: HTTPResponse) -> HubAnswer:
    try:
        message = str(json.loads(response.body)["message"])
    except (ValueError, KeyError, TypeError):
        message = ""
    retry = response.headers.get("Retry-After", "")
    return HubAnswer(response.code, message, int(retry) if retry.isdigit() else None)
