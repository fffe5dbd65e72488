"""As much of a Kubernetes API server as a keeper asks for at its start: one namespace, one node, pods. Faults of real ones are in tests/cluster."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from aiplatform_hub.domain.pods import ALLOCATION_LABEL, COMPONENT, CONTAINER

NAMESPACE = "people"
NODE = {
    "metadata": {"name": "node-1", "uid": "n1", "labels": {}},
    "spec": {},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"memory": "64Gi", "cpu": "16"}, "capacity": {}},
}


class FakeApiServer:
    """One cluster. Change its attributes while it runs."""

    def __init__(self, namespace_uid: str) -> None:
        self.namespace_uid = namespace_uid
        self.pods: list[dict[str, Any]] = []
        self.has_forgotten = threading.Event()
        """Set: every watch ends with 410, so that its resource is listed again."""
        self.lists = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def kubeconfig(self, folder: Path) -> Path:
        """Write a file that leads here."""
        path = folder / f"kubeconfig-{self._server.server_port}"
        context = {"cluster": "fake", "user": "fake"}
        parts = {
            "clusters": [{"name": "fake", "cluster": {"server": self.address}}],
            "users": [{"name": "fake", "user": {"token": "x"}}],
            "contexts": [{"name": "fake", "context": context}],
        }
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "fake", **parts}))
        return path

    def run_pod(self, allocation_id: UUID, started_at: str) -> None:
        """Have a session's pod, running."""
        labels = {"component": COMPONENT, ALLOCATION_LABEL: str(allocation_id)}
        metadata = {"name": f"p-{allocation_id}", "namespace": NAMESPACE, "uid": str(uuid4()), "resourceVersion": "1", "labels": labels}
        status = {"phase": "Running", "containerStatuses": [{"name": CONTAINER, "state": {"running": {"startedAt": started_at}}}]}
        self.pods.append({"metadata": {**metadata, "creationTimestamp": started_at}, "spec": {"containers": [], "nodeName": "node-1"}, "status": status})

    def answer(self, path: str) -> dict[str, Any]:
        if path == f"/api/v1/namespaces/{NAMESPACE}":
            return {"metadata": {"name": NAMESPACE, "uid": self.namespace_uid}}
        self.lists += 1
        return {"metadata": {"resourceVersion": "1"}, "items": [NODE] if path.endswith("/nodes") else self.pods}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    cluster: FakeApiServer

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        is_watch = "watch" in parse_qs(address.query)
        is_missing = address.path.startswith("/api/v1/namespaces/") and f"/{NAMESPACE}" not in address.path
        body = self._events() if is_watch else json.dumps({"message": "not found"} if is_missing else self.cluster.answer(address.path)).encode()
        self.send_response(404 if is_missing else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> bytes:
        until = time.monotonic() + 1
        while time.monotonic() < until and not self.cluster.has_forgotten.is_set():
            time.sleep(0.05)
        return b'{"type": "ERROR", "object": {"code": 410, "message": "too old"}}\n' if self.cluster.has_forgotten.is_set() else b""

    def log_message(self, *_: object) -> None:
        """Say nothing."""
