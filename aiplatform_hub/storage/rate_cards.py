"""Rate cards as rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from aiplatform_hub.storage.rate_card_tables import rate_cards
from aiplatform_hub.storage.schema import usage_intervals


@dataclass(frozen=True, slots=True)
class StoredRateCard:
    """One row. Instants are aware UTC."""

    id: int
    version: str
    effective_from: datetime
    document: str
    """The card as YAML, as in ``rates.yaml`` below its name."""
    recorded_at: datetime
    recorded_by: str | None
    """None: it stands in the catalogue's files."""
    reason: str
    withdrawn_at: datetime | None = None


class RateCardStore:
    """Reads, adds and withdraws rows; none is ever changed otherwise."""

    def mark(self, connection: Connection) -> tuple[int, int]:
        """Return what differs whenever a row was added or withdrawn."""
        columns = rate_cards.c
        row = connection.execute(select(func.coalesce(func.max(columns.id), 0), func.count(columns.withdrawn_at))).one()
        return int(row[0]), int(row[1])

    def standing(self, connection: Connection) -> tuple[StoredRateCard, ...]:
        """Return the cards that count, the first to begin first."""
        columns = rate_cards.c
        statement = select(rate_cards).where(columns.withdrawn_at.is_(None)).order_by(columns.effective_from)
        return tuple(StoredRateCard(**row) for row in connection.execute(statement).mappings())

    def all(self, connection: Connection) -> tuple[StoredRateCard, ...]:
        """Return every row, also what was withdrawn, the last to begin first."""
        statement = select(rate_cards).order_by(rate_cards.c.effective_from.desc(), rate_cards.c.id.desc())
        return tuple(StoredRateCard(**row) for row in connection.execute(statement).mappings())

    def insert(  # noqa: PLR0913  the columns of the row
        self, connection: Connection, *, version: str, effective_from: datetime, document: str, at: datetime, by: str | None, reason: str
    ) -> int:
        """Add a row and return its id.

        Raises
        ------
        TakenError
            If a card of this version, or one that begins at this instant, stands already.
        """
        values = {"version": version, "effective_from": effective_from, "document": document, "recorded_at": at, "reason": reason}
        key = connection.execute(insert(rate_cards).values(**values, recorded_by=by and by[:255])).inserted_primary_key
        return int(key[0]) if key else 0

    def withdraw(self, connection: Connection, id_: int, at: datetime) -> bool:
        """Let a card count no more; False if somebody was faster."""
        statement = update(rate_cards).where(rate_cards.c.id == id_, rate_cards.c.withdrawn_at.is_(None)).values(withdrawn_at=at)
        return bool(connection.execute(statement).rowcount)

    def has_use(self, connection: Connection) -> bool:
        """Return whether anything was ever metered."""
        return connection.execute(select(usage_intervals.c.id).limit(1)).first() is not None
