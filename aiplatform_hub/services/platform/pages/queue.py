"""What the pages say of queued requests: read with each page that shows one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.factory import Factory
from aiplatform_hub.web.view_models.queue import Line

FEW = 2
"""Up to so many queued requests a page also estimates how long each would wait with fewer GPUs."""


def own_lines(factory: Factory, owner: Caller, queued: Sequence[Allocation], opened: Sequence[Allocation]) -> dict[UUID, Line]:
    """Return what a person sees of requests of their own."""
    if not queued:
        return {}
    entries = {entry.id: entry for entry in factory.queue_desk.entries()}
    names, waits = {str(a.id): _name("your", a) for a in (*queued, *opened)}, _waits(factory)
    fewer = factory.prospects.each_with_fewer_gpus(owner, queued, has_waits=len(queued) <= FEW)
    return {a.id: Line(entries.get(a.id), _interest(factory), fewer[a.id], owner.user_name, names, waits.get(a.id)) for a in queued}


def other_line(factory: Factory, queued: Allocation, reader: str) -> Line:
    """Return what somebody who cannot change a request, but may know of it, sees of it."""
    return Line(factory.queue_desk.entry(queued.id), _interest(factory), reader=reader, wait=_waits(factory).get(queued.id))


def every_line(factory: Factory, queued: Sequence[Allocation], opened: Sequence[Allocation]) -> dict[UUID, Line]:
    """Return what an admin sees of the queue, in its order: others' sessions by their names."""
    if not queued:
        return {}
    names = {str(a.id): _name(f"{a.user_name}'s", a) for a in (*queued, *opened)}
    known, waits = {a.id for a in queued}, _waits(factory)
    return {entry.id: Line(entry, _interest(factory), names=names, wait=waits.get(entry.id)) for entry in factory.queue_desk.entries() if entry.id in known}


def _name(whose: str, allocation: Allocation) -> str:
    return f"{whose} {'request' if allocation.is_queued else 'session'} {allocation.server_name}".rstrip()


def _waits(factory: Factory) -> dict[UUID, WaitEstimate]:
    """Return how long each request will wait from now."""
    with factory.database.read() as connection:
        stored = factory.wait_forecaster.stored(connection)
    if stored.as_of is None:
        return {}
    since = max(0.0, (factory.clock() - stored.as_of).total_seconds())
    return {id_: each.after(since) for id_, each in stored.by_id.items()}


def _interest(factory: Factory) -> timedelta:
    return timedelta(hours=factory.settings.queue_interest_hours)
