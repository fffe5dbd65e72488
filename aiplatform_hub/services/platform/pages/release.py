"""What the pages say of release: read with each page that shows a running session."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.release_sentences import Told
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.web.view_models.release import Notice, notice


def told_of(factory: Factory, connection: Connection, allocations: Iterable[Allocation], now: datetime) -> dict[UUID, Told]:
    """Return the release of those that run, by their ids."""
    sessions = {a.id: a for a in allocations}
    views = factory.releases.of(connection, sessions.values(), now)
    return {id_: Told(sessions[id_], view, factory.policy, now) for id_, view in views.items()}


def notices_of(factory: Factory, connection: Connection, allocations: Iterable[Allocation], now: datetime) -> dict[UUID, Notice]:
    """Return what is said of the release of those that run, by their ids."""
    return {id_: notice(told) for id_, told in told_of(factory, connection, allocations, now).items()}
