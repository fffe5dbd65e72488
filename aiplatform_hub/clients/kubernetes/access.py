"""Kubernetes' REST API in plain JSON, over the client library that KubeSpawner brings."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import aiohttp
from kubernetes_asyncio import config as library_config
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config.kube_config import refresh_token
from kubernetes_asyncio.stream import WsApiClient

from aiplatform_hub.errors import AIPlatformError, ConfigurationError, ServiceUnavailableError

CONNECT_SECONDS = 5
READ_SECONDS = 30
"""Longest silence in the middle of an answer."""

_OVERLOADED = 429
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _GONE, _SERVER_ERROR = 403, 404, 409, 410, 500
_REFUSAL = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)"| at the cluster scope)'
)
_READING = ("get", "list", "watch")
_EXEC = "get, create"
"""Over a websocket API servers before 1.35 ask for the one, later ones for the other."""
_MERGE_PATCH = "application/merge-patch+json"
_JSON_PATCH = "application/json-patch+json"


class ClusterUnavailableError(ServiceUnavailableError):
    """The API server does not answer; what runs goes on."""


class MissingRightError(AIPlatformError):
    """The cluster does not let this process do something."""

    code = "missing_right"
    status = 500
    title = "The cluster does not allow it"


class RefusedError(AIPlatformError):
    """The API server refuses a request for another reason than rights."""

    code = "cluster_refusal"
    title = "The cluster refuses it"


class GoneError(AIPlatformError):
    """A version from which to go on is too old; the list must be read anew."""

    code = "version_gone"
    title = "The version is too old"


class MissingError(AIPlatformError):
    """The API has no such thing, or has changed it meanwhile."""

    code = "missing_in_cluster"
    title = "It is not there"


class KubernetesApi:
    """One connection pool to the API server.

    Parameters
    ----------
    client
        Of the library, configured.
    who
        This process, as the subject of a sentence: ``The keeper``.
    """

    MERGE: ClassVar[str] = _MERGE_PATCH
    JSON: ClassVar[str] = _JSON_PATCH

    def __init__(self, *, client: ApiClient, who: str) -> None:
        self._client = client
        self._who = who
        self._refreshing: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, *, who: str) -> KubernetesApi:
        """Return the API of the cluster that this process runs in, or else the one of ``KUBECONFIG``. Asks nothing of it yet.

        Raises
        ------
        ConfigurationError
            If there is neither, or it cannot be read.
        """
        configuration = Configuration()
        library: Any = library_config  # half of it is untyped
        try:
            library.load_incluster_config(client_configuration=configuration)
        except library.ConfigException:
            loader = await _kubeconfig(library, configuration, who)
            api = cls(client=ApiClient(configuration), who=who)
            api._refreshing = asyncio.create_task(refresh_token(loader, configuration))
            return api
        return cls(client=ApiClient(configuration), who=who)

    async def close(self) -> None:
        """Close every connection."""
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._client.close()

    @property
    def address(self) -> str:
        """Address of the API server."""
        return str(self._client.configuration.host)

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what is at a path of the API.

        Raises
        ------
        ClusterUnavailableError, MissingRightError, MissingError, GoneError, RefusedError
            As the API server answers, or does not.
        """
        return await self.send("GET", path, query=query)

    async def send(
        self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send a request and return its answer; raises as :meth:`get`."""
        try:
            response = await self._request(method, path, query, body, content_type, READ_SECONDS)
            async with response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error
        if not response.ok:
            raise self._refusal(response.status, content)
        answer: dict[str, Any] = json.loads(content)
        return answer

    async def watch(self, path: str, query: Mapping[str, Any], *, silence_seconds: float) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a watch until the server ends it; raises as :meth:`get`.

        Parameters
        ----------
        silence_seconds
            Longest time without a byte: after it the connection counts as broken.
        """
        try:
            response = await self._request("GET", path, {**query, "watch": "true"}, None, "application/json", silence_seconds)
            async with response:
                if not response.ok:
                    raise self._refusal(response.status, await response.read())
                async for event in _lines(response.content):
                    if event["type"] == "ERROR":
                        raise self._refusal(int(event["object"].get("code") or _SERVER_ERROR), json.dumps(event["object"]).encode())
                    yield event
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._away(error) from error

    async def execute(self, namespace: str, pod: str, container: str, command: Sequence[str], *, timeout_seconds: float) -> str:
        """Run a command in a container and return what it printed on its standard output.

        Raises
        ------
        RefusedError
            If the command failed; otherwise as :meth:`get`.
        """
        client = WsApiClient(self._client.configuration)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await _executed(client, f"/api/v1/namespaces/{namespace}/pods/{pod}/exec", container, command)
        except aiohttp.WSServerHandshakeError as error:
            body = {"message": f'User "" cannot create resource "pods/exec" in API group "" in the namespace "{namespace}"'}
            raise self._refusal(error.status, json.dumps(body if error.status == _FORBIDDEN else {"message": error.message}).encode()) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._away(error) from error
        finally:
            await client.close()

    async def _request(  # noqa: PLR0913, PLR0917 - one request
        self, method: str, path: str, query: Mapping[str, Any] | None, body: Any, content_type: str, silence_seconds: float
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "aiplatform-hub"}
        await self._client.update_params_for_auth(headers, [], ["BearerToken"])
        response: aiohttp.ClientResponse = await self._client.rest_client.request(
            method,
            f"{self._client.configuration.host}{path}",
            query_params=dict(query or {}),
            headers=headers,
            body=body,
            _preload_content=False,
            _request_timeout=aiohttp.ClientTimeout(connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds),
        )
        return response

    def _away(self, error: BaseException) -> ClusterUnavailableError:
        return ClusterUnavailableError(f"The cluster's API server does not answer: {error or type(error).__name__}", retry_after_seconds=5)

    def _refusal(self, status: int, content: bytes) -> AIPlatformError:
        message = f"HTTP {status}"
        with suppress(ValueError, KeyError, TypeError):
            message = str(json.loads(content)["message"])
        if status >= _SERVER_ERROR or status == _OVERLOADED:
            return ClusterUnavailableError(f"The cluster's API server answers with an error: {message}", retry_after_seconds=5)
        if status == _FORBIDDEN and (told := _REFUSAL.search(message)):
            return MissingRightError(missing_right(self._who, told))
        kinds: dict[int, type[AIPlatformError]] = {_FORBIDDEN: MissingRightError, _NOT_FOUND: MissingError, _CONFLICT: MissingError, _GONE: GoneError}
        return kinds.get(status, RefusedError)(message)


def missing_right(who: str, told: re.Match[str]) -> str:
    """Return a sentence that names the rule which a refusal of the API server asks for."""
    resource, verb, namespace = told["resource"], told["verb"], told["namespace"]
    verbs = ", ".join(_READING) if verb in _READING else verb
    if resource == "pods/exec":
        verbs = _EXEC
    elif resource == "namespaces" and namespace:
        verbs = verb  # its own one: there is nothing to list
    group = f" of API group {told['group']}" if told["group"] else ""
    where = f" in namespace {namespace}" if namespace else ""
    rule = f"the Role in namespace {namespace}" if namespace else "the ClusterRole"
    account = told["user"].removeprefix("system:serviceaccount:").replace(":", "/")
    owner = f" that is bound to {account}" if account else " of its service account"
    return f"{who} may not {verb} {resource}{where}: add {verbs} on {resource}{group} to {rule}{owner}."


async def _kubeconfig(library: Any, configuration: Configuration, who: str) -> Any:
    try:
        return await library.load_kube_config(client_configuration=configuration, persist_config=False)
    except (library.ConfigException, OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{who} finds no cluster: {error} Run it in a pod with a service account, or set KUBECONFIG.") from error


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """Yield each whole line as JSON; a line may be longer than the reader's buffer."""
    rest = b""
    async for chunk in content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield json.loads(line)


async def _executed(client: WsApiClient, path: str, container: str, command: Sequence[str]) -> str:
    """Return the standard output of a command. Channel 1 carries it, channel 3 its status."""
    headers: dict[str, str] = {"sec-websocket-protocol": "v4.channel.k8s.io"}
    await client.update_params_for_auth(headers, [], ["BearerToken"])
    query = [("container", container), ("stdout", "true"), *(("command", word) for word in command)]
    request: Any = await client.request("GET", f"{client.configuration.host}{path}", query_params=query, headers=headers, _preload_content=False)
    output, status = b"", b"{}"
    async with request as socket:
        async for message in socket:
            data = message.data if isinstance(message.data, bytes) else str(message.data).encode()
            if data[:1] == b"\x01":
                output += data[1:]
            elif data[:1] == b"\x03":
                status = data[1:]
    told = json.loads(status)
    if told.get("status") != "Success":
        raise RefusedError(f"{command[0]} failed: {told.get('message') or 'no status came'}")
    return output.decode(errors="replace")
