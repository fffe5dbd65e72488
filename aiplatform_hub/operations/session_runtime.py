"""What runs sessions on a place: processes of one machine, or pods of a cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol
from uuid import UUID

from aiplatform_hub.domain.usage import Records


class SessionRuntime(Protocol):
    """The runtime's own word on sessions.

    Methods may block and are called in threads; none raises for a session that is not there,
    nor because the runtime does not answer: then sessions are unreadable.
    """

    def changed(self) -> frozenset[UUID]:
        """Return the sessions of which something was recorded since the last call."""

    def forget(self, ids: Iterable[UUID]) -> None:
        """Let the next :meth:`changed` name these sessions again."""

    def known(self) -> Collection[UUID]:
        """Return every session that the runtime has a record of, running or ended."""

    def records(self, ids: Iterable[UUID]) -> Records:
        """Return what is known of these sessions; one of which there is no record may be left out."""

    def stop(self, allocation_id: UUID, grace_seconds: float) -> None:
        """End everything of a session, within about this many seconds where the runtime answers. Idempotent."""

    def settled(self, ids: Iterable[UUID]) -> None:
        """Hear that the ledger has closed these sessions: what was kept of them for it may go. Idempotent."""
