"""What a keeper tells of its work, in its heartbeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.operations.ledger_watch import LedgerCheck


class Account:
    """Remembers what was reconciled, what that corrected, and how far the ledger is verified. Instants are aware UTC."""

    def __init__(self) -> None:
        self._reconciled_at: datetime | None = None
        self._corrected_at: datetime | None = None
        self._last: Mapping[str, int] = {}
        self._since_start: Counter[str] = Counter()
        self._ledger = LedgerCheck()

    def reconciled(self, counts: Mapping[str, int], now: datetime) -> None:
        """Note a look at everything, with what it corrected by kind."""
        self._reconciled_at = now
        self.corrected(counts, now)

    def corrected(self, counts: Mapping[str, int], now: datetime) -> None:
        """Note what was corrected by kind; nothing changes what is known of the last correction."""
        if counts:
            self._corrected_at, self._last = now, dict(counts)
            self._since_start.update(counts)

    def verified(self, check: LedgerCheck) -> None:
        """Note how far the ledger is verified."""
        self._ledger = check

    def detail(self) -> dict[str, Any]:
        """Return all of it as JSON."""
        ledger = self._ledger
        return {
            "reconciled_at": _text(self._reconciled_at),
            "corrected_at": _text(self._corrected_at),
            "corrected": dict(self._last),
            "corrected_since_start": dict(self._since_start),
            "ledger_rows": ledger.rows,
            "ledger_verified_until": _text(ledger.verified_until),
            "ledger_whole_at": _text(ledger.whole_at),
            "ledger_trouble": ledger.trouble,
        }


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else isoformat(instant)
