"""What the keeper asks of a hub, answered over HTTP: who somebody is, and starts and stops of servers, as the spawner does them.

Only for tests that must stop the hub or the keeper at an exact step, which a real hub does not offer.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from aiplatform_hub.domain.allocations import EndCause, ServerKey
from aiplatform_hub.domain.options import resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import AIPlatformError
from tests.support.machine import Machine

STEPS = ("who", "before take_up", "after take_up", "started", "answered")
"""The points at which ``at`` is called, in order."""


class HubStandIn:
    """Starts real sessions of a machine. ``at`` is called at each step and may do anything."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.at: Callable[[str], None] = lambda _step: None
        self.refusal: tuple[int, str] | None = None
        """Answer every start so, without trying."""
        self.gone: set[str] = set()
        """People whom it does not know any more."""
        self.names: dict[int, str] = {}
        """New names by id, of those who were renamed."""
        self.starts: list[str] = []
        self.stops: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.api_url = f"http://127.0.0.1:{self._server.server_port}/hub/api"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def user(self, name: str) -> dict[str, Any]:
        self.at("who")
        return {"id": self.id_of(name), "name": name, "admin": False, "groups": []}

    def id_of(self, name: str) -> int:
        return next((id_ for id_, new in self.names.items() if new == name), 0) or int(name.removeprefix("user"))

    def is_known(self, name: str) -> bool:
        is_old = name in {f"user{id_}" for id_ in self.names} and name not in self.names.values()
        return name not in self.gone and not is_old

    def start(self, user_name: str, server_name: str, options: dict[str, Any]) -> tuple[int, str]:
        self.starts.append(user_name)
        if self.refusal is not None:
            return self.refusal
        self.at("before take_up")
        machine, caller = self.machine, Caller(self.id_of(user_name), user_name)
        server = ServerKey(caller.user_id, server_name, caller.user_id * 10)
        try:
            request = resolve(options, catalog=machine.factory.catalog, caller=caller)
            taken = machine.factory.enforcer.take_up(caller, request, server, door="hub", actor="keeper", hub_instance=machine.instance, is_dispatched=True)
        except AIPlatformError as error:
            return error.status, error.message
        self.at("after take_up")
        record = machine.launch(taken)
        assert record.started_at is not None
        machine.factory.meter.started(taken.id, record.started_at)
        machine.factory.meter.ready(taken.id, machine.factory.clock())
        self.at("started")
        return 201, ""

    def stop(self, user_name: str, server_name: str) -> tuple[int, str]:
        self.stops.append((user_name, server_name))
        if self.refusal is not None:
            return self.refusal
        for allocation in self.machine.open():
            if (allocation.user_name, allocation.server_name) == (user_name, server_name):
                self.machine.factory.meter.request_stop(allocation.id, user_name, EndCause.STOPPED)
                self.machine.factory.runtime.stop(allocation.id, 5)
                self.machine.factory.reconciler.reconcile({allocation.id})
        return 202, ""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = unquote(self.path.rsplit("/", 1)[1])
                if "/user-ids/" in self.path:
                    name = hub.names.get(int(name), f"user{name}")
                if not hub.is_known(name):
                    self._answer(404, {})
                    return
                self._answer(200, hub.user(name) if "/aiplatform/" in self.path else {"name": name, "servers": {}})

            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                parts = [unquote(part) for part in self.path.split("/users/", 1)[1].split("/")]
                status, message = hub.start(parts[0], parts[2] if len(parts) > 2 else "", content["user_options"])
                self._answer(status, {"message": message})
                hub.at("answered")

            def do_DELETE(self) -> None:
                parts = [unquote(part) for part in self.path.split("/users/", 1)[1].split("/")]
                status, message = hub.stop(parts[0], parts[2] if len(parts) > 2 else "")
                self._answer(status, {"message": message})

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
