"""Rate cards: recorded once, changed or withdrawn only before they begin, and known to every process within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from threading import Lock

from aiplatform_hub.catalog.problems import repeated
from aiplatform_hub.catalog.rate_cards import MOST_BYTES, is_version, rate_card_text, read_rate_card
from aiplatform_hub.domain.catalog import Catalog, RateCard
from aiplatform_hub.domain.plain_text import plain_line
from aiplatform_hub.domain.rate_cards import CATALOGUE_REASON, RecordedCard, faults_of_new, plan_of_files
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConfigurationError, ConflictError, InvalidOptionError, NotFoundError, Reason
from aiplatform_hub.operations.audit_trail import AuditTrail
from aiplatform_hub.storage.database import Connection, Database, DatabaseAwayError, TakenError
from aiplatform_hub.storage.rate_cards import RateCardStore, StoredRateCard

LOOK_SECONDS = 5.0
"""How long a process believes what it knows before it looks again; far less than a card is recorded before it begins."""
WHY = "Say why: whoever reads the bills later will ask."
DOCUMENT = "document"
_FASTER = "Somebody changed the rate cards at this very moment; look again."


class RateCards:
    """Knows, records, changes and withdraws rate cards. Safe to use from several threads.

    Parameters
    ----------
    monotonic
        Seconds of a clock that never jumps.
    """

    def __init__(  # noqa: PLR0913  keyword-only
        self,
        *,
        database: Database,
        rate_cards: RateCardStore,
        catalog: Callable[[], Catalog],
        audit_trail: AuditTrail,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._store = rate_cards
        self._catalog = catalog
        self._audit = audit_trail
        self._clock = clock
        self._monotonic = monotonic
        self._looking = Lock()
        self._known: tuple[tuple[int, int], tuple[RateCard, ...]] | None = None
        self._looked_seconds = 0.0

    def current(self) -> tuple[RateCard, ...]:
        """Return every card that counts now or later, in order of ``effective_from``, as of at most :data:`LOOK_SECONDS` ago.

        While the database is away, the last known ones; where nothing was recorded yet, those of the catalogue's files.

        Raises
        ------
        ServiceUnavailableError
            If this process has not seen any yet and the database does not answer.
        """
        known = self._known
        if known is not None and (self._is_fresh() or not self._looking.acquire(blocking=False)):
            return known[1]  # another thread looks already
        if known is None:
            self._looking.acquire()
        try:
            return self._look()
        finally:
            self._looking.release()

    def recorded(self) -> tuple[RecordedCard, ...]:
        """Return every card that was ever recorded, also what was withdrawn, the last to begin first."""
        with self._database.read() as connection:
            return tuple(_recorded(row) for row in self._store.all(connection))

    def check(self, document: str, *, version: str) -> RateCard:
        """Return the card that a document says, without recording it.

        Raises
        ------
        InvalidOptionError
            With everything that is wrong with it.
        """
        card = self._read(document, version)
        with self._database.read() as connection:
            others = [each for each in self._standing(connection) if each.card.version != version]
        _refuse(faults_of_new(card, others, self._clock()))
        return card

    def add(self, document: str, *, version: str, reason: str, by: str) -> RecordedCard:
        """Record a card that is to come, with its audit row.

        Raises
        ------
        InvalidOptionError
            With everything that is wrong with it; then nothing is stored.
        ConflictError
            If another admin was faster.
        """
        card, why = self._read(document, version), plain_line(reason, field="reason", needs=WHY)
        try:
            with self._database.write() as connection:
                if not self._store.standing(connection):
                    self._record(connection)  # or this card alone would price the past, too
                _refuse(faults_of_new(card, self._standing(connection), self._clock()))
                recorded = self._insert(connection, card, why, by)
                self._audit.record(connection, actor=by, action="add_rate_card", target=_target(version), outcome="done", detail=_detail(recorded))
                return recorded
        except TakenError as error:
            raise ConflictError(_FASTER) from error
        finally:
            self._forget()

    def change(self, document: str, *, version: str, reason: str, by: str) -> RecordedCard:
        """Let another card of the same version take the place of one that has not begun.

        Raises
        ------
        InvalidOptionError, ConflictError
            As :meth:`add`; also if it has begun, or stands in the catalogue's files.
        NotFoundError
            If no card of this version counts.
        """
        card, why = self._read(document, version), plain_line(reason, field="reason", needs=WHY)
        try:
            with self._database.write() as connection:
                standing = self._standing(connection)
                before = self._open(standing, version)
                _refuse(faults_of_new(card, [each for each in standing if each.id != before.id], self._clock()))
                self._take(connection, before)
                recorded = self._insert(connection, card, why, by)
                self._audit.record(connection, actor=by, action="change_rate_card", target=_target(version), outcome="done", detail=_detail(recorded))
                return recorded
        except TakenError as error:
            raise ConflictError(_FASTER) from error
        finally:
            self._forget()

    def withdraw(self, version: str, *, reason: str, by: str) -> RecordedCard:
        """Let a card that has not begun never count.

        Raises
        ------
        InvalidOptionError
            Without a reason.
        ConflictError, NotFoundError
            As :meth:`change`.
        """
        why = plain_line(reason, field="reason", needs=WHY)
        with self._database.write() as connection:
            before = self._open(self._standing(connection), version)
            self._take(connection, before)
            detail = {"effective_from": isoformat(before.card.effective_from), "reason": why}
            self._audit.record(connection, actor=by, action="withdraw_rate_card", target=_target(version), outcome="done", detail=detail)
        self._forget()
        return before

    def record_catalogue(self) -> None:
        """Record the cards of the catalogue's files; those that stand already are left alone.

        Raises
        ------
        ConfigurationError
            Naming each card that has begun and differs from what was recorded, or that another one collides with; then nothing is stored.
        """
        for is_last in (False, True):
            try:
                with self._database.write() as connection:
                    self._record(connection)
            except TakenError as error:  # another process records the same
                if is_last:
                    raise ConfigurationError(_FASTER) from error
            else:
                break
        self._forget()

    def _record(self, connection: Connection) -> None:
        now = self._clock()
        plan = plan_of_files(self._catalog().rate_cards, self._standing(connection), now, is_unused=not self._store.has_use(connection))
        if plan.problems:
            reasons = tuple(Reason(ConfigurationError.code, problem) for problem in plan.problems)
            raise ConfigurationError("rates.yaml: " + " ".join(plan.problems), reasons)
        for each in plan.withdrawn:
            self._take(connection, each)
        for card in plan.added:
            self._store.insert(
                connection, version=card.version, effective_from=card.effective_from, document=rate_card_text(card), at=now, by=None, reason=CATALOGUE_REASON
            )

    def _insert(self, connection: Connection, card: RateCard, reason: str, by: str) -> RecordedCard:
        now, document = self._clock(), rate_card_text(card)
        id_ = self._store.insert(connection, version=card.version, effective_from=card.effective_from, document=document, at=now, by=by, reason=reason)
        return RecordedCard(id_, card, now, by, reason)

    def _take(self, connection: Connection, before: RecordedCard) -> None:
        if not self._store.withdraw(connection, before.id, self._clock()):
            raise ConflictError(_FASTER)

    def _open(self, standing: Sequence[RecordedCard], version: str) -> RecordedCard:
        """Return a card that may still be changed."""
        found = next((each for each in standing if each.card.version == version), None)
        if found is None:
            raise NotFoundError(f"There is no rate card {repeated(version)}.")
        if found.recorded_by is None:
            raise ConflictError(f"The rate card {version} stands in the catalogue's files: change it in rates.yaml.")
        if not found.is_open(self._clock()):
            raise ConflictError(f"The rate card {version} has begun, or begins within a minute: prices of the past never change. Add a card that begins later.")
        return found

    def _read(self, document: str, version: str) -> RateCard:
        if not is_version(version):
            raise _invalid("version", f"The version {repeated(version)} must be 1 to 64 letters, digits, dots, hyphens and underscores.")
        if len(document.encode(errors="replace")) > MOST_BYTES:
            raise _invalid(DOCUMENT, f"The document is larger than {MOST_BYTES // 1024} KiB.")
        try:
            return read_rate_card(document, version, catalog=self._catalog())
        except ConfigurationError as error:
            reasons = tuple(Reason("invalid_option", reason.message, field=DOCUMENT) for reason in error.reasons)
            raise InvalidOptionError(error.message, reasons) from error

    def _standing(self, connection: Connection) -> tuple[RecordedCard, ...]:
        return tuple(_recorded(row) for row in self._store.standing(connection))

    def _is_fresh(self) -> bool:
        return self._monotonic() - self._looked_seconds < LOOK_SECONDS

    def _forget(self) -> None:
        self._looked_seconds = self._monotonic() - LOOK_SECONDS

    def _look(self) -> tuple[RateCard, ...]:
        known = self._known
        if known is not None and self._is_fresh():
            return known[1]
        looked = self._monotonic()
        try:
            with self._database.read() as connection:
                mark = self._store.mark(connection)
                if known is None or known[0] != mark:
                    known = mark, tuple(each.card for each in self._standing(connection)) or self._catalog().rate_cards
        except DatabaseAwayError:
            if known is None:
                raise
        self._known, self._looked_seconds = known, looked
        return known[1]


def _recorded(row: StoredRateCard) -> RecordedCard:
    """Return a row with its card; names that the catalogue has lost since do no harm."""
    card = read_rate_card(row.document, row.version, name=f"rate card {row.version}")
    return RecordedCard(row.id, card, row.recorded_at, row.recorded_by, row.reason, row.withdrawn_at)


def _refuse(faults: tuple[Reason, ...]) -> None:
    if faults:
        raise InvalidOptionError(" ".join(reason.message for reason in faults), faults)


def _invalid(field: str, message: str) -> InvalidOptionError:
    return InvalidOptionError(message, (Reason("invalid_option", message, field=field),))


def _target(version: str) -> str:
    return f"rate_card:{version}"


def _detail(recorded: RecordedCard) -> dict[str, str]:
    """Return what the audit trail keeps of a card."""
    return {"effective_from": isoformat(recorded.card.effective_from), "reason": recorded.reason, "document": rate_card_text(recorded.card)}
