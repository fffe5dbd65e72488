"""Browsers that are told by push: switched on and off by their people, forgotten when their push service says that they are gone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from aiplatform_hub.domain.push import MOST_BROWSERS, PushSubscription, fault_of_keys, is_push_service
from aiplatform_hub.errors import ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.push_subscriptions import PushSubscriptionStore


class PushDesk:
    """Every method is one transaction."""

    def __init__(self, *, database: Database, push_subscriptions: PushSubscriptionStore, services: Collection[str], clock: Callable[[], datetime]) -> None:
        self._database = database
        self._store = push_subscriptions
        self._services = tuple(services)
        self._clock = clock

    def switch_on(self, user_name: str, *, endpoint: str, p256dh: str, auth: str, browser: str) -> PushSubscription:
        """Tell a browser from now on; may be repeated. A browser that was somebody else's is theirs no more.

        Raises
        ------
        InvalidOptionError
            If the address is not one of a push service, or a key is not right.
        ConflictError
            If the person has too many browsers.
        """
        self._check(endpoint, p256dh, auth)
        made = PushSubscription(id=uuid4(), user_name=user_name, endpoint=endpoint, p256dh=p256dh, auth=auth, browser=browser, created_at=self._clock())
        with self._database.write() as connection:
            before = self._store.at(connection, endpoint)
            if before is not None:
                self._store.remove(connection, before.id)
                if before.user_name == user_name:
                    made = replace(made, id=before.id, created_at=before.created_at, delivered_at=before.delivered_at)
            if self._store.count(connection, user_name) >= MOST_BROWSERS:
                raise ConflictError(f"You have {MOST_BROWSERS} browsers that are told already. Turn one off first.")
            self._store.add(connection, made)
        return made

    def _check(self, endpoint: str, p256dh: str, auth: str) -> None:
        if not is_push_service(endpoint, self._services):
            message = f"endpoint must be an address of a push service that this hub may write to: {', '.join(self._services)}."
            raise InvalidOptionError(message, (Reason("invalid_option", message, field="endpoint", allowed=self._services),))
        if fault := fault_of_keys(p256dh, auth):
            raise InvalidOptionError(fault, (Reason("invalid_option", fault, field="keys"),))

    def switch_off(self, subscription_id: UUID, *, by: str) -> None:
        """Tell a browser no more.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        """
        with self._database.write() as connection:
            if not self._store.remove(connection, subscription_id, by):
                raise NotFoundError("There is no such browser, or it is not yours.")

    def of(self, user_name: str) -> tuple[PushSubscription, ...]:
        """Return a person's browsers, the oldest first."""
        with self._database.read() as connection:
            return self._store.of(connection, user_name)

    def delivered(self, subscription: PushSubscription) -> None:
        """Note that something was passed on to a browser."""
        with self._database.write() as connection:
            self._store.delivered(connection, subscription.id, self._clock())

    def gone(self, subscription: PushSubscription) -> None:
        """Forget a browser that its push service does not know any more."""
        with self._database.write() as connection:
            self._store.remove(connection, subscription.id)
