"""Taking an ended session off one's own list."""

from __future__ import annotations

from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import START
from aiplatform_hub.services.platform.routes import Reply, Resource, Route

PATH = "api/v1/allocations/{id}/hidden"


class HiddenHandler(OneAllocation):
    """``PUT`` and ``DELETE allocations/{id}/hidden``."""

    async def put(self, allocation_id: str) -> None:
        """Take it off its owner's list."""
        allocation = await self.found(allocation_id)
        await self.require(START, allocation.user_name, server_name=allocation.server_name)
        await self.platform.run(self.platform.factory.home_list.hide, allocation.id, by=self.principal.name)
        self._done()

    async def delete(self, allocation_id: str) -> None:
        """Bring it back."""
        allocation = await self.found(allocation_id)
        await self.require(START, allocation.user_name, server_name=allocation.server_name)
        await self.platform.run(self.platform.factory.home_list.unhide, allocation.id, by=self.principal.name)
        self._done()

    def _done(self) -> None:
        self.set_status(204)
        self.clear_header("Content-Type")


RESOURCES = (
    Resource(
        HiddenHandler,
        (
            Route(
                method="PUT",
                path=PATH,
                summary="Take an ended session off the owner's Home; may be repeated",
                description="For its owner. Ledger, usage and costs keep it.",
                scope=START,
                replies={204: Reply("It is off the list")},
                errors=(404, 409),
            ),
            Route(
                method="DELETE",
                path=PATH,
                summary="Bring it back to the owner's Home; may be repeated",
                description="For its owner.",
                scope=START,
                replies={204: Reply("It is on the list")},
                errors=(404,),
            ),
        ),
    ),
)
