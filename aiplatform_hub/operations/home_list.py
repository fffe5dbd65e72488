"""What a person takes off their own list of ended sessions, and brings back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.errors import ConflictError, NotFoundError
from aiplatform_hub.storage.allocations import AllocationStore
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.hidden import HiddenStore


class HomeList:
    """Hides ended sessions of one's own. The ledger, usage and costs keep them."""

    def __init__(self, *, database: Database, allocations: AllocationStore, hidden: HiddenStore, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._allocations = allocations
        self._hidden = hidden
        self._clock = clock

    def hide(self, allocation_id: UUID, *, by: str) -> None:
        """Take one off the list; may be repeated.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        ConflictError
            If it is not over.
        """
        with self._database.write() as connection:
            allocation = self._own(connection, allocation_id, by)
            if allocation.ended_at is None:
                raise ConflictError("It is not over yet: stop it, or withdraw it, before you take it off the list.")
            if not self._hidden.is_hidden(connection, allocation_id):
                self._hidden.hide(connection, allocation_id, self._clock())

    def unhide(self, allocation_id: UUID, *, by: str) -> None:
        """Bring one back; may be repeated.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        """
        with self._database.write() as connection:
            self._own(connection, allocation_id, by)
            self._hidden.unhide(connection, allocation_id)

    def _own(self, connection: Connection, allocation_id: UUID, by: str) -> Allocation:
        found = self._allocations.find(connection, allocation_id)
        if found is None or found.user_name != by:
            raise NotFoundError("There is no such session, or it is not yours.")
        return found
