"""Tells the accounting of each legal entity what becomes of its invoices, in order, until it takes it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from aiplatform_hub.domain.notices import DeliveryError, pause_after
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.invoice_outbox import HandOver, InvoiceOutbox

LONGEST_PAUSE = timedelta(hours=1)
"""Between two tries of a message that was refused often: none is given up."""
_LOG = logging.getLogger(__name__)


class Post(Protocol):
    """Where an accounting takes messages."""

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send one.

        Raises
        ------
        DeliveryError
            If it was not taken.
        """


class InvoiceHandOver:
    """Each message goes out at least once, with the same id and the same bytes in every try; nothing is held in the database meanwhile."""

    def __init__(self, *, database: Database, outbox: InvoiceOutbox, posts: Mapping[str, Post], clock: Callable[[], datetime]) -> None:
        self._database = database
        self._outbox = outbox
        self._posts = posts
        self._clock = clock

    @property
    def legal_entities(self) -> tuple[str, ...]:
        """Names of those whose accounting takes messages."""
        return tuple(self._posts)

    def pass_on(self, legal_entity: str) -> bool:
        """Pass on the oldest message to the accounting of a legal entity, if it is due; return whether it was taken."""
        with self._database.read() as connection:
            message = self._outbox.first(connection, legal_entity)
        if message is None or message.next_at is None or message.next_at > self._clock():
            return False
        try:
            self._posts[legal_entity].send(message.body.encode(), {"X-AIPlatform-Event": str(message.id)})
        except DeliveryError as error:
            self._failed(message, error.message)
            return False
        except Exception as error:  # noqa: BLE001 - whatever it was, it waits as long as a refusal
            _LOG.exception("The accounting of %s could not be told of invoice %s", legal_entity, message.invoice_id)
            self._failed(message, f"{type(error).__name__} while it was sent.")
            return False
        with self._database.write() as connection:
            self._outbox.delivered(connection, message, self._clock())
        return True

    def _failed(self, message: HandOver, error: str) -> None:
        pause = min(pause_after(message.attempts + 1) or LONGEST_PAUSE, LONGEST_PAUSE)
        with self._database.write() as connection:
            self._outbox.failed(connection, message, error, self._clock() + pause)
        if not message.attempts:
            _LOG.warning("The accounting does not take message %s about invoice %s; trying again: %s", message.id, message.invoice_id, error)
