"""What becomes of running sessions: for bodies, pages and streams. Reads the database: call it in a thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.grace import is_watched, turn_key
from aiplatform_hub.domain.release import ReleaseView
from aiplatform_hub.domain.release_sentences import Told
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.events import OwnPlace
from aiplatform_hub.services.platform.wire import plain
from aiplatform_hub.storage.database import Connection


def told_of(factory: Factory, connection: Connection, allocations: Iterable[Allocation], now: datetime) -> dict[UUID, Told]:
    """Return the release of those that run, by their ids."""
    sessions = {a.id: a for a in allocations}
    views = factory.releases.of(connection, sessions.values(), now)
    policy = factory.policies.current()
    watched = [turn_key(id_) for id_ in views if is_watched(sessions[id_])]
    open_by = factory.notifications.untils_of(connection, watched)
    return {id_: Told(sessions[id_], view, policy, now, open_by.get(turn_key(id_))) for id_, view in views.items()}


def release_news(factory: Factory, people: frozenset[str]) -> Mapping[str, tuple[OwnPlace, ...]]:
    """Return, by person, what is said of the release of the sessions that they run."""
    now = factory.clock()
    with factory.database.read() as connection:
        opened = {a.id: a for a in factory.allocations.open(connection) if a.user_name in people}
        views = factory.releases.of(connection, opened.values(), now) if opened else {}
    news: dict[str, tuple[OwnPlace, ...]] = {}
    for id_, view in views.items():
        session = opened[id_]
        news[session.user_name] = (*news.get(session.user_name, ()), OwnPlace(session.server_name, _data(session, view)))
    return news


def _data(session: Allocation, view: ReleaseView) -> dict[str, Any]:
    """Return what does not change while nothing happens: no instant that moves with the clock."""
    return {
        "id": session.id,
        "server_name": session.server_name,
        "release": plain(
            {
                "action": view.action,
                "why": view.why,
                "deadline": view.deadline,
                "is_if_somebody_waits": view.is_if_somebody_waits,
                "is_somebody_waiting": view.is_somebody_waiting,
                "extended_until": view.extended_until,
            }
        ),
    }
