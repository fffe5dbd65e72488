"""The keeper's part of invoices: what their accounting is to be told, each receiver in a thread of its own."""

from __future__ import annotations

import logging
import threading

from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory

_LOG = logging.getLogger(__name__)


class InvoiceDuty:
    """Has messages passed on. A receiver that hangs holds up its own messages alone."""

    def __init__(self, *, factory: Factory) -> None:
        self._factory = factory
        self._working: dict[str, threading.Thread] = {}

    async def look(self) -> None:
        """Look once; receivers that are at work already go on."""
        for legal_entity in self._factory.invoice_hand_over.legal_entities:
            before = self._working.get(legal_entity)
            if before is None or not before.is_alive():
                # a daemon: the keeper's end waits for nobody's accounting
                thread = threading.Thread(target=self._pass_on, args=(legal_entity,), name=f"invoices-{legal_entity}", daemon=True)
                self._working[legal_entity] = thread
                thread.start()

    def _pass_on(self, legal_entity: str) -> None:
        try:
            while self._factory.invoice_hand_over.pass_on(legal_entity):
                pass
        except ServiceUnavailableError as error:
            _LOG.info("Invoices wait: %s", error)
        except Exception:  # noqa: BLE001 - the edge of a thread
            _LOG.exception("Invoices could not be handed over to the accounting of %s", legal_entity)
