"""Keeping a session for longer."""

from __future__ import annotations

from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import STOP
from aiplatform_hub.services.platform.models import AllocationOut
from aiplatform_hub.services.platform.routes import Reply, Resource, Route


class ExtendHandler(OneAllocation):
    """``POST allocations/{id}/extend``."""

    async def post(self, allocation_id: str) -> None:
        """Keep a session for one more period."""
        allocation = await self.found(allocation_id)
        await self.require(STOP, allocation.user_name, server_name=allocation.server_name)
        await self.platform.run(self.platform.factory.releaser.extend, allocation.id, by=self.principal.name)
        await self.tell(allocation)


RESOURCES = (
    Resource(
        ExtendHandler,
        (
            Route(
                method="POST",
                path="api/v1/allocations/{id}/extend",
                summary="Keep a session, idle or over its cap, for one more period from now, up to the ceiling",
                description="`release.extended_until` says until when. Refused where it does not run, is being stopped, or is kept up to the ceiling already.",
                scope=STOP,
                replies={200: Reply("The allocation", AllocationOut)},
                errors=(404, 409),
            ),
        ),
    ),
)
