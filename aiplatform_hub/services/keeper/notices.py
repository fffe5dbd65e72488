"""The keeper's part of notices: it looks what is new, and lets each channel work in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading

from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory

_LOG = logging.getLogger(__name__)


class NoticeDuty:
    """Tells what is new and has it passed on. A server that hangs holds up its own channel alone."""

    def __init__(self, *, factory: Factory) -> None:
        self._factory = factory
        self._working: dict[str, threading.Thread] = {}

    async def look(self) -> None:
        """Look once; channels that are at work already go on.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer.
        """
        await asyncio.to_thread(self._factory.notice_watch.look)
        for channel in self._factory.notice_delivery.channels:
            before = self._working.get(channel)
            if before is None or not before.is_alive():
                # a daemon: the keeper's end waits for no mail server
                thread = threading.Thread(target=self._pass_on, args=(channel,), name=f"notices-{channel}", daemon=True)
                self._working[channel] = thread
                thread.start()

    def _pass_on(self, channel: str) -> None:
        try:
            while self._factory.notice_delivery.pass_on(channel):
                pass
        except ServiceUnavailableError as error:
            _LOG.info("Notices wait: %s", error)
        except Exception:  # noqa: BLE001 - the edge of a thread
            _LOG.exception("Notices could not be passed on by %s", channel)
