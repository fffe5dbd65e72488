"""The stream of server-sent events."""

from __future__ import annotations

import asyncio
import re
import time

from tornado.iostream import StreamClosedError

from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.events import STATE_LENGTH, Subscriber
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route

HEARTBEAT_SECONDS = 15.0
STREAM_SECONDS = 300.0
"""A stream ends after this, so that the browser comes back and is authorised anew."""
RETRY_MILLISECONDS = 2000


class EventsHandler(ApiHandler):
    """``GET events``."""

    subscriber: Subscriber | None = None

    async def get(self) -> None:
        """Send events until the browser leaves or five minutes have passed."""
        subscriber = self.subscriber = await self.platform.events.subscribe(self.principal, after_id=self._last_id(), state=self._state())
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        try:
            self.write(f"retry: {RETRY_MILLISECONDS}\n\n")
            await self.flush()
            await self._send(subscriber)
        except StreamClosedError:
            return
        finally:
            self.platform.events.unsubscribe(subscriber)

    def _last_id(self) -> int | None:
        """Return the id that the browser saw last; EventSource sends it by itself when it comes back."""
        text = self.request.headers.get("Last-Event-ID") or self.get_query_argument("last_event_id", "")
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise invalid("Last-Event-ID", "Last-Event-ID must be the id of an earlier event.")
        return int(text)

    def _state(self) -> str:
        """Return the state in which the caller read everything; empty if they do not say."""
        text = self.get_query_argument("state", "")
        if not re.fullmatch(rf"([0-9a-f]{{{STATE_LENGTH}}})?", text):
            raise invalid("state", "state must be what a page said of its own.")
        return text

    async def _send(self, subscriber: Subscriber) -> None:
        ends_at = time.monotonic() + STREAM_SECONDS
        while (left := ends_at - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(subscriber.queue.get(), min(HEARTBEAT_SECONDS, left))
            except TimeoutError:
                self.write(": still here\n\n")
            else:
                if message is None:
                    return
                self.write(message.text())
            await self.flush()

    def on_connection_close(self) -> None:
        """End the stream at once, so that nobody looks for a browser that left."""
        if self.subscriber is not None:
            self.subscriber.put(None)


RESOURCES = (
    Resource(
        EventsHandler,
        (
            Route(
                method="GET",
                path="api/v1/events",
                summary="Server-sent events of what the caller may see",
                description=(
                    "Kinds: `allocation` (a transition), `capacity`, `quota`, `queue` (how many wait, and the places of the caller's own requests, whenever that changes), "
                    "`release` (what becomes of the caller's own running sessions, whenever that changes), "
                    "`cost`, `notification` (the id of the caller's newest one, whenever that changes), `announcement` (the ids of what admins tell everybody, whenever that changes), and `reset` when too much was missed to be sent again. "
                    "Begins with how things stand. Ends after five minutes; come back with `Last-Event-ID`."
                ),
                scope=READ,
                parameters=(
                    Parameter("Last-Event-ID", "Send what happened after this event", {"type": "integer", "minimum": 0}, "header"),
                    Parameter("last_event_id", "The same, for clients that cannot set headers", {"type": "integer", "minimum": 0}),
                    Parameter(
                        "state",
                        "What a page said of its own: while nothing has happened since, the stream does not begin with how things stand",
                        {"type": "string"},
                    ),
                ),
                replies={200: Reply("The stream", media_type="text/event-stream")},
                errors=(400,),
            ),
        ),
    ),
)
