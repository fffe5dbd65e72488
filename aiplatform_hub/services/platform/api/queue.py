"""The queue: what is the caller's in full, what is others' without whose it is."""

from __future__ import annotations

import re

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.queueing import QueueEntry
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.models import QueuePage, QueueRow
from aiplatform_hub.services.platform.queue_views import QueueSnapshot, QueueViews, submitted_at
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.views import AllocationViews

DEFAULT_LIMIT, MAX_LIMIT = 100, 500


class QueueHandler(ApiHandler):
    """``GET queue``."""

    async def get(self) -> None:
        """Answer with who waits, in order."""
        limit = self._number("limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        after = self._number("cursor", 0, 0, 9_999_999)
        self.reply(await self.platform.run(self._page, limit, after))

    def _number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not re.fullmatch(r"[0-9]{1,7}", text) or not least <= int(text) <= most:
            raise invalid(name, f"{name} must be a whole number from {least} to {most}.")
        return int(text)

    def _page(self, limit: int, after: int) -> QueuePage:
        """Read the requests behind a place; runs in a thread."""
        snapshot = QueueViews(self.platform.factory).snapshot()
        found = [entry for entry in snapshot.entries if entry.position > after]
        shown = found[:limit]
        return QueuePage(
            items=tuple(self._row(entry, snapshot) for entry in shown),
            next_cursor=str(shown[-1].position) if len(found) > limit else None,
            queue_length=len(snapshot.entries),
            as_of=snapshot.at,
        )

    def _row(self, entry: QueueEntry, snapshot: QueueSnapshot) -> QueueRow:
        allocation = snapshot.allocations[entry.id]
        views = AllocationViews(self.platform.factory, self.principal)
        return QueueRow(
            position=entry.position,
            gpus=allocation.request.gpus,
            gpu_type=allocation.request.gpu_type,
            waiting_seconds=max(0, int((snapshot.at - submitted_at(allocation)).total_seconds())),
            allocation=views.brief(allocation, entry, snapshot) if self._sees(allocation) else None,
        )

    def _sees(self, allocation: Allocation) -> bool:
        return self.principal.may(READ, allocation.user_name, server_name=allocation.server_name)


_NUMBER = {"type": "integer", "minimum": 1}

RESOURCES = (
    Resource(
        QueueHandler,
        (
            Route(
                method="GET",
                path="api/v1/queue",
                summary="The queue in its order",
                description="A caller's own requests in full; of others only place, GPUs and age. Admins and services with the unfiltered scope get everything.",
                scope=READ,
                parameters=(
                    Parameter("limit", "Most items of a page", {**_NUMBER, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
                    Parameter("cursor", "`next_cursor` of the page before", {"type": "string"}),
                ),
                replies={200: Reply("A page of the queue", QueuePage)},
                errors=(400,),
            ),
        ),
    ),
)
