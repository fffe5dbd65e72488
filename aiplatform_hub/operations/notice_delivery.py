"""Passes notices on through one channel, with a bounded number of tries for each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

from aiplatform_hub import metrics
from aiplatform_hub.domain.notices import DeliveryError, Message, Notice, Notifier, pause_after, text_of
from aiplatform_hub.operations.notices import words_of
from aiplatform_hub.storage.database import Database
from aiplatform_hub.storage.notifications import Delivery, NotificationStore

AT_ONCE = 20
"""Notices that are passed on before others that have become due are looked for."""
_LOG = logging.getLogger(__name__)


class NoticeDelivery:
    """Each notice goes out at least once through each channel; a crash between the sending and its record may repeat it.

    Nothing is held in the database while a notifier works.
    """

    def __init__(
        self,
        *,
        database: Database,
        notifications: NotificationStore,
        notifiers: Mapping[str, Notifier],
        page_of: Callable[[Notice], str],
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._notifications = notifications
        self._notifiers = notifiers
        self._page_of = page_of
        self._clock = clock
        self._failing: set[str] = set()

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the notifiers."""
        return tuple(self._notifiers)

    def pass_on(self, channel: str) -> int:
        """Pass on what is due, one after the other; return how much was. Takes as long as the notifier takes."""
        with self._database.read() as connection:
            due = self._notifications.due(connection, channel, self._clock(), limit=AT_ONCE)
        return sum(self._pass_one_on(channel, delivery) for delivery in due)

    def _pass_one_on(self, channel: str, delivery: Delivery) -> bool:
        try:
            self._notifiers[channel].deliver(self._message(delivery.notice))
        except DeliveryError as error:
            self._failed(channel, delivery, error.message, is_final=error.is_final)
            return False
        except Exception as error:  # noqa: BLE001 - a plug-in is somebody else's program
            _LOG.exception("The notifier %s failed", channel)
            self._failed(channel, delivery, f"{type(error).__name__} in the notifier.", is_final=False)
            return False
        with self._database.write() as connection:
            self._notifications.delivered(connection, delivery, self._clock())
        metrics.NOTICES.labels(channel, "delivered").inc()
        self._failing.discard(channel)
        return True

    def _failed(self, channel: str, delivery: Delivery, error: str, *, is_final: bool) -> None:
        pause = None if is_final else pause_after(delivery.attempts + 1)
        with self._database.write() as connection:
            self._notifications.failed(connection, delivery, error, None if pause is None else self._clock() + pause)
        metrics.NOTICES.labels(channel, "failed" if pause is None else "tried").inc()
        if pause is None:
            _LOG.warning("Notice %s was not passed on by %s: %s", delivery.notice.id, channel, error)
        elif channel not in self._failing:
            self._failing.add(channel)
            _LOG.warning("%s does not pass notices on just now; trying again: %s", channel, error)

    def _message(self, notice: Notice) -> Message:
        said = words_of(notice)
        return Message(
            id=notice.id,
            at=notice.at,
            kind=notice.kind.value,
            user_name=notice.user_name,
            subject=said.subject,
            sentences=tuple(text_of(sentence) for sentence in said.sentences),
            link=self._page_of(notice),
            allocation_id=notice.allocation_id,
            detail=notice.detail,
        )
