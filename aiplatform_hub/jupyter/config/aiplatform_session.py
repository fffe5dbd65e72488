"""A Jupyter server extension: asks the platform about the own session for whoever has JupyterLab open.

Runs in people's servers, in whatever environment they have, so it imports nothing of the platform. The browser asks this server, on
its own origin and with its own login; this server asks the platform with its own token, which may read and end this one server and
nothing else. Without a hub, or with the platform away, it answers that there is nothing to say.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

TIMEOUT_SECONDS = 10
URL, ALLOCATION, TOKEN = "AIPLATFORM_SERVICE_URL", "AIPLATFORM_ALLOCATION_ID", "JUPYTERHUB_API_TOKEN"


async def ask_platform(method: str, action: str = "") -> HTTPResponse | None:
    """Return the platform's answer about this server's allocation; None if it does not answer or there is none to ask."""
    address, allocation_id, token = (os.environ.get(name, "") for name in (URL, ALLOCATION, TOKEN))
    if not (address and allocation_id and token):
        return None
    try:
        return await AsyncHTTPClient().fetch(
            f"{address}api/v1/allocations/{allocation_id}{action}",
            method=method,
            headers={"Authorization": f"token {token}"},
            body=b"" if method == "POST" else None,
            request_timeout=TIMEOUT_SECONDS,
            raise_error=False,
        )
    except OSError:
        return None


def decoded(answer: HTTPResponse | None) -> dict[str, Any]:
    """Return the object in an answer, empty if there is none."""
    if answer is None or answer.code == 599:  # noqa: PLR2004 - tornado's own status for no answer
        return {}
    try:
        body = json.loads(answer.body or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def told(body: dict[str, Any]) -> dict[str, Any]:
    """Return what the browser needs to know of an allocation."""
    home = f"{os.environ.get('JUPYTERHUB_HOST', '')}{os.environ.get('JUPYTERHUB_BASE_URL', '/')}services/platform/home"
    return {"release": body.get("release"), "home_url": home, "as_of": datetime.now(timezone.utc).isoformat()}  # noqa: UP017 - Python 3.9 and later


class _Handler(JupyterHandler):  # not an APIHandler: looking is no activity of the person
    def tell(self, body: dict[str, Any], status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(body))


class SessionHandler(_Handler):
    """``GET aiplatform/session``."""

    @web.authenticated
    async def get(self) -> None:
        """Answer with what is known of the release of this session."""
        answer = await ask_platform("GET")
        self.tell(told(decoded(answer) if answer is not None and answer.code == 200 else {}))  # noqa: PLR2004 - HTTP


class ExtendHandler(_Handler):
    """``POST aiplatform/session/extend``."""

    @web.authenticated
    async def post(self) -> None:
        """Keep this session longer, or say why not."""
        answer = await ask_platform("POST", "/extend")
        body = decoded(answer)
        if answer is not None and answer.code == 200:  # noqa: PLR2004 - HTTP
            self.tell(told(body))
            return
        away = "It could not be kept: the platform does not answer. Try again in a minute."
        self.tell({"detail": body.get("detail", away)}, answer.code if answer is not None and body else 503)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "aiplatform_session"}]


def _load_jupyter_server_extension(server: Any) -> None:
    base = server.web_app.settings["base_url"].rstrip("/")
    server.web_app.add_handlers(".*$", [(f"{base}/aiplatform/session", SessionHandler), (f"{base}/aiplatform/session/extend", ExtendHandler)])
