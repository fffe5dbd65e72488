"""Browsers that are told by push."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, delete, func, insert, select, update

from aiplatform_hub.domain.push import PushSubscription
from aiplatform_hub.storage.schema import push_subscriptions

_COLUMNS = push_subscriptions.c


class PushSubscriptionStore:
    """Rows of ``push_subscriptions``."""

    def add(self, connection: Connection, subscription: PushSubscription) -> None:
        """Store a browser."""
        connection.execute(insert(push_subscriptions).values(**asdict(subscription)))

    def of(self, connection: Connection, user_name: str) -> tuple[PushSubscription, ...]:
        """Return a person's browsers, the oldest first."""
        rows = connection.execute(select(push_subscriptions).where(_COLUMNS.user_name == user_name).order_by(_COLUMNS.created_at, _COLUMNS.id)).mappings()
        return tuple(PushSubscription(**row) for row in rows)

    def at(self, connection: Connection, endpoint: str) -> PushSubscription | None:
        """Return the browser with this address, whoever's it is."""
        row = connection.execute(select(push_subscriptions).where(_COLUMNS.endpoint == endpoint)).mappings().one_or_none()
        return None if row is None else PushSubscription(**row)

    def count(self, connection: Connection, user_name: str) -> int:
        """Return how many browsers a person has."""
        return int(connection.execute(select(func.count()).where(_COLUMNS.user_name == user_name)).scalar_one())

    def remove(self, connection: Connection, subscription_id: UUID, user_name: str | None = None) -> bool:
        """Forget a browser, if given only if it is that person's; False when there is none."""
        whose = () if user_name is None else (_COLUMNS.user_name == user_name,)
        return bool(connection.execute(delete(push_subscriptions).where(_COLUMNS.id == subscription_id, *whose)).rowcount)

    def delivered(self, connection: Connection, subscription_id: UUID, at: datetime) -> None:
        """Note when something was last passed on to a browser."""
        connection.execute(update(push_subscriptions).where(_COLUMNS.id == subscription_id).values(delivered_at=at))
