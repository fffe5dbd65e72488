"""The queue as the REST API shows it. Everything here reads the database: call it in a thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.queue_sentences import Reader, waiting_sentence
from aiplatform_hub.domain.queueing import QueueEntry, WaitReason
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.wait_forecaster import Waits
from aiplatform_hub.services.platform.auth import READ, Principal
from aiplatform_hub.services.platform.events import OwnPlace, QueueNews
from aiplatform_hub.services.platform.queue_models import QueueOut, WaitNumbers, WaitOut, WaitReasonOut
from aiplatform_hub.services.platform.wire import plain

_MINUTE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class QueueSnapshot:
    """Who waits and what runs, at one instant."""

    entries: tuple[QueueEntry, ...]
    """Everybody who waits, in order."""
    allocations: Mapping[UUID, Allocation]
    """Every allocation that is queued or open."""
    at: datetime
    waits: Waits = field(default_factory=Waits)
    """How long they will wait, as far as it is known."""

    def entry(self, allocation_id: UUID) -> QueueEntry | None:
        """Return one request's place, None when it does not wait."""
        return next((entry for entry in self.entries if entry.id == allocation_id), None)


class QueueViews:
    """Makes the bodies that describe the queue."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def snapshot(self) -> QueueSnapshot:
        """Return the queue as it is now."""
        entries = self._factory.queue_desk.entries()
        with self._factory.database.read() as connection:
            live = self._factory.allocations.live(connection)
            waits = self._factory.wait_forecaster.stored(connection)
        found = {allocation.id: allocation for allocation in (*live.open, *live.queued)}
        return QueueSnapshot(tuple(e for e in entries if e.id in found and found[e.id].is_queued), found, self._factory.clock(), waits)

    def length(self) -> int:
        """Return how many requests wait."""
        with self._factory.database.read() as connection:
            return len(self._factory.allocations.live(connection).queued)

    def body(self, allocation: Allocation, entry: QueueEntry, snapshot: QueueSnapshot, principal: Principal) -> QueueOut:
        """Return the place of a request that the caller may know of, in words for them."""
        name = principal.name if principal.is_user else ""
        return self.body_for(Reader(snapshot.at, name, _names(entry.reason, snapshot, principal)), allocation, entry, snapshot.waits)

    def body_for(self, reader: Reader, allocation: Allocation, entry: QueueEntry, waits: Waits) -> QueueOut:
        """Return the place of a request in words for a reader."""
        confirmed_at = allocation.confirmed_at or allocation.requested_at
        entry = entry.as_known(has_estimate=entry.id in waits.by_id)
        return QueueOut(
            position=entry.position,
            reason=WaitReasonOut(
                code=entry.reason.code.value,
                message=waiting_sentence(entry, allocation.request.gpu_type, reader),
                numbers=_numbers(entry.reason),
            ),
            requested_at=submitted_at(allocation),
            expires_at=confirmed_at + timedelta(hours=self._factory.settings.queue_interest_hours),
            moved_up_at=allocation.moved_up_at,
            wait=wait_out(waits.by_id.get(entry.id), waits.as_of),
        )


def wait_out(wait: WaitEstimate | None, as_of: datetime | None) -> WaitOut | None:
    """Return an estimate as it is sent."""
    if wait is None or as_of is None:
        return None
    return WaitOut(p10_seconds=round(wait.p10_seconds), p50_seconds=round(wait.p50_seconds), p90_seconds=round(wait.p90_seconds), as_of=as_of)


def queue_news(factory: Factory, people: frozenset[str]) -> QueueNews:
    """Return the queue as these people's streams are told of it, each owner's requests in words for them."""
    views = QueueViews(factory)
    snapshot = views.snapshot()
    by_owner: dict[str, tuple[OwnPlace, ...]] = {}
    for entry in snapshot.entries:
        allocation = snapshot.allocations[entry.id]
        if allocation.user_name not in people:
            continue
        place = views.body_for(Reader(snapshot.at, allocation.user_name), allocation, entry, snapshot.waits)
        data = {"id": allocation.id, "server_name": allocation.server_name, "gpus": allocation.request.gpus, "queue": plain(place)}
        by_owner[allocation.user_name] = (*by_owner.get(allocation.user_name, ()), OwnPlace(allocation.server_name, data))
    return QueueNews(len(snapshot.entries), by_owner)


def submitted_at(allocation: Allocation) -> datetime:
    """Return the submit time that a request's place counts from."""
    return allocation.queued_at or allocation.requested_at


def _names(reason: WaitReason, snapshot: QueueSnapshot, principal: Principal) -> dict[str, str]:
    """Return what the caller may call the sessions and requests that are in the way."""
    names: dict[str, str] = {}
    for word in (*reason.because_of, *reason.room_of):
        found = snapshot.allocations.get(_id_of(word))
        if found is not None and principal.may(READ, found.user_name, server_name=found.server_name):
            whose = "your" if principal.is_user and found.user_name == principal.name else f"{found.user_name}'s"
            what = "request" if found.is_queued else "session"
            names[word] = f"{whose} {what} {found.server_name}".rstrip()
    return names


def _id_of(word: str) -> UUID:
    """Return the id that a word is; the nil id for a project's name."""
    try:
        return UUID(word)
    except ValueError:
        return UUID(int=0)


def _numbers(reason: WaitReason) -> WaitNumbers:
    return WaitNumbers(
        dimension=reason.dimension,
        scope=reason.scope,
        requested=Decimal(reason.requested),
        free=_decimal(reason.free),
        limit=_decimal(reason.limit),
        used=_decimal(reason.used),
        room_by=_to_the_minute(reason.room_by_seconds),
        until=_to_the_minute(reason.until_seconds),
    )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _to_the_minute(seconds: float | None) -> datetime | None:
    """Return an expected instant, no more exact than anybody knows it: so it does not move with each pass."""
    if seconds is None:
        return None
    minutes = -(-seconds // _MINUTE_SECONDS)
    return datetime.fromtimestamp(minutes * _MINUTE_SECONDS, UTC)
