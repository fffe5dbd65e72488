"""Sessions that are charged to another project than they were started in."""

from __future__ import annotations

from aiplatform_hub.services.platform.api.admin import ACT
from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.move_models import MovePlanOut, MoveSessionBody, SessionMoveList, move_out, plan_out
from aiplatform_hub.services.platform.routes import Reply, Resource, Route


class MoveSessionHandler(OneAllocation):
    """``POST allocations/{id}/move``."""

    async def post(self, allocation_id: str) -> None:
        """Charge an ended session to another project, or say what that would change."""
        if not (self.principal.is_admin and self.principal.holds(ACT)):
            raise insufficient_scope(ACT)
        allocation = await self.found(allocation_id)
        body = read_change(MoveSessionBody, self.body_object())
        moves, by = self.platform.factory.session_moves, self.principal.name
        if body.dry_run:
            self.reply(plan_out(await self.platform.run(moves.plan, allocation.id, body.project, by=by), is_done=False))
            return
        done = await self.platform.run(moves.move, allocation.id, body.project, reason=body.reason, by=by)
        self.reply(plan_out(done, is_done=True), 201)


class SessionMovesHandler(OneAllocation):
    """``GET allocations/{id}/moves``."""

    async def get(self, allocation_id: str) -> None:
        """Answer with where a session was moved."""
        allocation = await self.found(allocation_id)
        found = await self.platform.run(self.platform.factory.session_moves.of, allocation.id)
        self.reply(SessionMoveList(items=tuple(map(move_out, found))))


RESOURCES = (
    Resource(
        MoveSessionHandler,
        (
            Route(
                method="POST",
                path="api/v1/allocations/{id}/move",
                summary="Charge a session that has ended to another project, as a correction",
                description=(
                    "For admins. What was metered stays; reports take it from the one project and charge the other at its own prices, dated when the time "
                    "was used. A month that was invoiced is corrected on the next invoice. A mistake is another move. `dry_run` shows the amounts."
                ),
                scope=ACT,
                body=MoveSessionBody,
                replies={200: Reply("What it would change", MovePlanOut), 201: Reply("What it changed", MovePlanOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        SessionMovesHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations/{id}/moves",
                summary="To which projects a session was moved since it ended",
                scope=READ,
                replies={200: Reply("Its moves", SessionMoveList)},
                errors=(404,),
            ),
        ),
    ),
)
