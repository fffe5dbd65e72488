"""What admins do with what runs and waits: stop with a message, move up. Stopping is open to owners too."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aiplatform_hub.domain.plain_text import MOST_CHARACTERS, plain_line
from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import STOP
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.models import AllocationOut
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input

MOVE = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""
WHY_MOVE = "Say why: its owner and those whom it overtakes read it."


class StopBody(Input):
    """How a session is stopped."""

    message: str = Field(
        "", description=f"For its owner, who finds it in a notification and on the session's page: one line of at most {MOST_CHARACTERS} characters"
    )


class MoveBody(Input):
    """Why a request is moved up."""

    reason: Annotated[str, Field(description=f"For its owner and those whom it overtakes: one line of at most {MOST_CHARACTERS} characters")]


class StopHandler(OneAllocation):
    """``POST allocations/{id}/stop``."""

    async def post(self, allocation_id: str) -> None:
        """Withdraw the request or stop the session, with a message: 202 while it ends, 204 when it is over already."""
        allocation = await self.found(allocation_id)
        await self.require(STOP, allocation.user_name, server_name=allocation.server_name)
        message = plain_line(read_change(StopBody, self.body_object()).message, field="message")
        if not await self.platform.sessions.stop(allocation, self.principal, message):
            self.set_status(204)
            self.clear_header("Content-Type")
            return
        await self.tell(allocation, 202)


class MoveUpHandler(OneAllocation):
    """``POST`` and ``DELETE allocations/{id}/move-up``."""

    async def post(self, allocation_id: str) -> None:
        """Move a request to the front of the queue."""
        self._require_admin()
        allocation = await self.found(allocation_id)
        reason = plain_line(read_change(MoveBody, self.body_object()).reason, field="reason", needs=WHY_MOVE)
        await self.platform.run(self.platform.factory.queue_moves.move_up, allocation.id, by=self.principal.name, reason=reason)
        await self.tell(allocation)

    async def delete(self, allocation_id: str) -> None:
        """Put it back to the place that it would have."""
        self._require_admin()
        allocation = await self.found(allocation_id)
        await self.platform.run(self.platform.factory.queue_moves.undo, allocation.id, by=self.principal.name)
        await self.tell(allocation)

    def _require_admin(self) -> None:
        if not (self.principal.is_admin and self.principal.holds(MOVE)):
            raise insufficient_scope(MOVE)


_ALLOCATION = {200: Reply("The allocation", AllocationOut)}

RESOURCES = (
    Resource(
        StopHandler,
        (
            Route(
                method="POST",
                path="api/v1/allocations/{id}/stop",
                summary="Stop a session, or withdraw a request from the queue, and tell its owner why; may be repeated",
                scope=STOP,
                body=StopBody,
                replies={202: Reply("The session is being stopped, or the request is withdrawn", AllocationOut), 204: Reply("It was over already")},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        MoveUpHandler,
        (
            Route(
                method="POST",
                path="api/v1/allocations/{id}/move-up",
                summary="Move a request to the front of the queue",
                description=(
                    "For admins. It comes before all others but those for which sessions are being stopped already, and GPUs are kept for it as they come "
                    "free. Its owner and those whom it overtakes read the reason. Of several, the last moved one is first."
                ),
                scope=MOVE,
                body=MoveBody,
                replies=_ALLOCATION,
                errors=(400, 404, 409),
            ),
            Route(
                method="DELETE",
                path="api/v1/allocations/{id}/move-up",
                summary="Put a request that was moved up back to the place that it would have",
                description="For admins. May be repeated.",
                scope=MOVE,
                replies=_ALLOCATION,
                errors=(404, 409),
            ),
        ),
    ),
)
