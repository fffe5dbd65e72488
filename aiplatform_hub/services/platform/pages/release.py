"""What the pages say of release: read with each page that shows a running session."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.release_news import told_of
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.web.view_models.release import Notice, notice


def notices_of(factory: Factory, connection: Connection, allocations: Iterable[Allocation], now: datetime) -> dict[UUID, Notice]:
    """Return what is said of the release of those that run, by their ids."""
    return {id_: notice(told) for id_, told in told_of(factory, connection, allocations, now).items()}
