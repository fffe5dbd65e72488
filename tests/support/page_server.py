"""The platform's pages over HTTP in this process, beside a stand-in for the hub that knows everybody: for counting and timing what a page costs."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from types import MappingProxyType
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

from sqlalchemy import event
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from aiplatform_hub.config import Settings
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.app import make_app, make_platform

PREFIX = "/services/platform/"
ADMIN = "boss"
VIEWER = "vera"
"""A billing viewer."""
ACCOUNTING = "accounting"
"""A service that reads what is billed, and nothing else."""
_OWN_SCOPES = ("read:servers", "start:servers", "delete:servers", "read:users:groups")
_EVERYBODY = ("read:servers", "start:servers", "delete:servers", "list:users", "read:users", "admin:users", "admin:servers")


def id_of(name: str) -> int:
    """Return the hub's number of a person: the digits at the end of their name."""
    return int("0" + "".join(c for c in name if c.isdigit()))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request got, and what it cost."""

    status: int
    body: str
    seconds: float
    """From the arrival of the request to the end of the answer, as the server sees it; the hub's answers included."""


@dataclass
class PageServer:
    """The running pages. A person's token is their name."""

    factory: Factory
    port: int
    spent: SimpleQueue[float] = field(default_factory=SimpleQueue)
    """Seconds of each answer, told just behind its end."""
    statements: list[str] = field(default_factory=list)
    """What was sent to the database, without BEGIN; the heartbeat's own are not among them."""

    def get(self, path: str, who: str, *, is_refresh: bool = False) -> Answer:
        """Ask for a page, below the service's own address; or for what moves on it, as an open one does."""
        return self._ask("GET", path, who, headers={"HX-Request": "true"} if is_refresh else {})

    def post(self, path: str, who: str, body: dict[str, Any]) -> Answer:
        """Send JSON."""
        return self._ask("POST", path, who, json.dumps(body))

    def _ask(self, method: str, path: str, who: str, body: str | None = None, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            sent = {"Authorization": f"Bearer {who}", **({"Content-Type": "application/json"} if body else {}), **headers}
            connection.request(method, PREFIX + path, body, sent)
            response = connection.getresponse()
            text = response.read().decode()
        finally:
            connection.close()
        return Answer(response.status, text, self.spent.get(timeout=30))


@contextmanager
def page_server(settings: Settings, factory: Factory) -> Iterator[PageServer]:
    """Serve the pages of a factory's database until the block ends."""
    with _stand_in() as hub_port:
        sockets = bind_sockets(0, "127.0.0.1")
        server = PageServer(factory, sockets[0].getsockname()[1])
        ready, loop = threading.Event(), asyncio.new_event_loop()
        thread = threading.Thread(target=_serve, args=(settings, server, sockets, loop, ready, hub_port), daemon=True)
        thread.start()
        assert ready.wait(30)
        engines = (factory.database.engine, factory.database.writer)

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.startswith("BEGIN"):
                server.statements.append(statement)

        for engine in engines:
            event.listen(engine, "before_cursor_execute", note)
        try:
            yield server
        finally:
            for engine in engines:
                event.remove(engine, "before_cursor_execute", note)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(30)


def _serve(settings: Settings, server: PageServer, sockets: Any, loop: asyncio.AbstractEventLoop, ready: threading.Event, hub_port: int) -> None:  # noqa: PLR0917
    asyncio.set_event_loop(loop)
    environment = {
        "JUPYTERHUB_API_TOKEN": "platform",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_SERVICE_NAME": "platform",
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_CLIENT_ID": "service-platform",
        "JUPYTERHUB_API_URL": f"http://127.0.0.1:{hub_port}/hub/api",
    }
    with patch.dict(os.environ, environment):
        platform = make_platform(settings, server.factory, requests_per_minute=10_000_000)
    platform.hub._api_url = environment["JUPYTERHUB_API_URL"]
    platform.hub_auth.api_url = environment["JUPYTERHUB_API_URL"]
    app = make_app(platform)
    app.settings["log_function"] = lambda handler: server.spent.put(handler.request.request_time())
    http = HTTPServer(app)
    http.add_sockets(sockets)
    loop.call_soon(ready.set)
    loop.run_forever()
    http.stop()
    platform.threads.close()


@contextmanager
def _stand_in() -> Iterator[int]:
    """Answer who somebody is, from a thread."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "/aiplatform/people" in self.path:
                self._answer({"total": 1, "people": [_model(ADMIN)]})
                return
            is_about = "/aiplatform/users/" in self.path
            name = unquote(self.path.rsplit("/", 1)[1]) if is_about else self.headers["Authorization"].split()[-1]
            self._answer(_model(name))

        def _answer(self, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _model(name: str) -> dict[str, Any]:
    is_admin = name == ADMIN
    scopes = list(_EVERYBODY) if is_admin else [f"{scope}!user={name}" for scope in _OWN_SCOPES]
    scopes += ["custom:aiplatform:billing:read", "custom:aiplatform:billing:dispute"] if name == VIEWER else []
    if name == ACCOUNTING:
        return {"name": name, "kind": "service", "admin": False, "groups": [], "scopes": ["custom:aiplatform:billing:read"]}
    return {"id": id_of(name) or 999_999, "name": name, "kind": "user", "admin": is_admin, "groups": [], "scopes": scopes}
