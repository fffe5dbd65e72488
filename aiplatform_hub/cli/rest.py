"""The platform's REST API, for commands of users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

import requests

from aiplatform_hub.errors import AIPlatformError, ConfigurationError, NotFoundError, Reason, ServiceUnavailableError

API_PATH = "services/platform/api/v1/"
TIMEOUT_SECONDS = 60
PAGE = 200
"""So many items of a list are asked for at once."""
MIN_PREFIX = 4
"""Fewest characters of an id's abbreviation."""
LIVE_STATES = ("queued", "held", "active")
"""States of what is not over."""
_TUPLES = ("held_by", "remedies", "allowed", "remedy_codes")
_OK, _SERVER_ERROR = 400, 500


class RefusedError(AIPlatformError):
    """What the platform refused, with its reasons; ``problem_code`` is the refusal's own code."""

    problem_code = ""


class WrongUseError(ConfigurationError):
    """The platform refused a value as invalid: the command was used wrongly."""


class RestClient:
    """Calls the platform with the user's token.

    Parameters
    ----------
    url
        The hub's public address, as in a browser, for example ``https://gpu.example.org/``.
    token
        A JupyterHub API token.
    """

    def __init__(self, *, url: str, token: str) -> None:
        self._hub_url = f"{url.rstrip('/').removesuffix('/hub')}/"
        if not self._hub_url.startswith(("http://", "https://")):
            raise ConfigurationError(f"{url!r} is not an address; set AIPLATFORM_URL to the hub's, for example https://gpu.example.org/.")
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would replace the token
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to a question.

        Raises
        ------
        AIPlatformError
            The refusal.
        """
        return self._call("GET", self._hub_url + API_PATH + path, params={k: v for k, v in (params or {}).items() if v not in (None, ())})

    def whole(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a paged list with every page in one.

        Raises
        ------
        AIPlatformError
            The refusal.
        """
        found: dict[str, Any] = {}
        for page in self._pages(path, params or {}):
            found = {**page, "items": [*found.get("items", ()), *page["items"]]}
        del found["next_cursor"]
        return found

    def text(self, path: str, params: Mapping[str, Any]) -> str:
        """Return a file.

        Raises
        ------
        AIPlatformError
            The refusal.
        """
        known = {key: value for key, value in params.items() if value is not None}
        return self._answer("GET", self._hub_url + API_PATH + path, params=known).content.decode()

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Any:
        """Return the answer to a body; options that are None are left out."""
        return self._call("POST", self._hub_url + API_PATH + path, json={k: v for k, v in body.items() if v is not None}, headers=headers)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to a change."""
        return self._call("PATCH", self._hub_url + API_PATH + path, json=dict(body))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Return the answer to what takes something's place."""
        return self._call("PUT", self._hub_url + API_PATH + path, json=dict(body))

    def delete(self, path: str) -> Any:
        """Return the answer, or None where there is nothing to say."""
        return self._call("DELETE", self._hub_url + API_PATH + path)

    def my_name(self) -> str:
        """Return whose token it is."""
        return str(self._call("GET", f"{self._hub_url}hub/api/user")["name"])

    def address_of(self, path: str) -> str:
        """Return the full address of a path on the hub's host."""
        scheme, _, rest = self._hub_url.partition("://")
        return path if "://" in path else f"{scheme}://{rest.split('/', 1)[0]}{path}"

    def allocations(self, *, most: int, **filters: Any) -> list[dict[str, Any]]:
        """Return allocations, newest first."""
        found: list[dict[str, Any]] = []
        for page in self._pages("allocations", filters):
            found.extend(page["items"])
            if len(found) >= most:
                break
        return found[:most]

    def _pages(self, path: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        cursor = None
        while True:
            page = self.get(path, {**params, "cursor": cursor, "limit": PAGE})
            yield page
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def find(self, word: str) -> str:
        """Return the id that a word means: an id, its beginning, or the name of a server that is open or queued.

        Raises
        ------
        NotFoundError
            If it means nothing, or more than one.
        """
        try:
            return str(UUID(word))
        except ValueError:
            pass
        opened = self.allocations(most=1000, state=LIVE_STATES)
        named = [entry for entry in opened if entry["server_name"] == word]
        if len(named) > 1:
            raise NotFoundError(f"Several people have a server {word}: {', '.join(_short(entry) for entry in named)}. Give the id.")
        if named:
            return str(named[0]["id"])
        found = [entry for entry in self.allocations(most=1000) if len(word) >= MIN_PREFIX and entry["id"].startswith(word.lower())]
        if len(found) > 1:
            raise NotFoundError(f"{word} is the beginning of several ids: {', '.join(_short(entry) for entry in found[:5])}. Give more of it.")
        if not found:
            raise NotFoundError(f"There is no server {word} that is open or queued, and no session whose id begins so. See: aiplatform list --all")
        return str(found[0]["id"])

    def _call(self, method: str, url: str, **kwargs: Any) -> Any:
        answer = self._answer(method, url, **kwargs)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError as error:
            raise ServiceUnavailableError(f"{self._hub_url} is not the address of an AI Platform Hub.") from error

    def _answer(self, method: str, url: str, **kwargs: Any) -> requests.Response:
        try:
            answer = self._session.request(method, url, timeout=TIMEOUT_SECONDS, allow_redirects=False, **kwargs)
        except requests.RequestException as error:
            raise ServiceUnavailableError(f"{self._hub_url} does not answer. Is AIPLATFORM_URL right, and the platform running?") from error
        if answer.status_code >= _OK:
            raise refusal_of(answer)
        return answer


def _short(entry: Mapping[str, Any]) -> str:
    return f"{entry['id'][:8]} ({entry['user']})"


def refusal_of(answer: requests.Response) -> AIPlatformError:
    """Return the error that an answer means."""
    try:
        problem = answer.json()
        detail = str(problem.get("detail") or problem["message"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return ServiceUnavailableError(f"The platform answered {answer.status_code} without saying why. Try again in a minute.")
    reasons = tuple(_reason(entry) for entry in problem.get("reasons", ()))
    if answer.status_code >= _SERVER_ERROR:
        return ServiceUnavailableError(detail, reasons)
    if problem.get("code") == "invalid_option":
        return WrongUseError(detail, reasons)
    error = RefusedError(detail, reasons)
    error.problem_code = str(problem.get("code", "refused"))
    return error


def _reason(entry: Mapping[str, Any]) -> Reason:
    known = {name: value for name, value in entry.items() if name in Reason.__dataclass_fields__}
    return Reason(**{**known, **{name: tuple(entry.get(name, ())) for name in _TUPLES}})


def path_word(word: str) -> str:
    """Return an id or a name as one part of an address, whatever is in it.

    Raises
    ------
    NotFoundError
        If it is none, or would lead elsewhere.
    """
    if word in {"", ".", ".."}:
        raise NotFoundError(f"There is nothing with the id “{word}”.")
    return quote(word, safe="")
