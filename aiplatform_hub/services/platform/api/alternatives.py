"""What a queued request would come to if it asked for less."""

from __future__ import annotations

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.services.platform.alternatives import fewer_gpus_out
from aiplatform_hub.services.platform.api.allocations import OneAllocation
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.queue_models import AlternativesOut
from aiplatform_hub.services.platform.routes import Reply, Resource, Route


class AlternativesHandler(OneAllocation):
    """``GET allocations/{id}/alternatives``."""

    async def get(self, allocation_id: str) -> None:
        """Answer with each smaller GPU count; with nothing for what does not wait."""
        allocation = await self.found(allocation_id)
        if not allocation.is_queued:
            self.reply(AlternativesOut(items=()))
            return
        owner = await self.platform.sessions.caller(allocation.user_name)
        self.reply(await self.platform.run(self._fewer, owner, allocation))

    def _fewer(self, owner: Caller, allocation: Allocation) -> AlternativesOut:
        """Read and decide; runs in a thread."""
        factory = self.platform.factory
        fewer = factory.prospects.of_fewer_gpus(owner, allocation, has_waits=True)
        return AlternativesOut(items=fewer_gpus_out(allocation.request, fewer, factory))


RESOURCES = (
    Resource(
        AlternativesHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations/{id}/alternatives",
                summary="What a queued request would come to with fewer GPUs, at its place; nothing is changed",
                scope=READ,
                replies={200: Reply("The alternatives", AlternativesOut)},
                errors=(404,),
            ),
        ),
    ),
)
