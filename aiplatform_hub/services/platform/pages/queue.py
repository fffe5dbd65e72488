"""What the pages say of queued requests: read with each page that shows one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.factory import Factory
from aiplatform_hub.web.view_models.queue import Line


def own_lines(factory: Factory, owner: Caller, queued: Sequence[Allocation], opened: Sequence[Allocation]) -> dict[UUID, Line]:
    """Return what a person sees of requests of their own."""
    if not queued:
        return {}
    entries = {entry.id: entry for entry in factory.queue_desk.entries()}
    names = {str(a.id): _name("your", a) for a in (*queued, *opened)}
    return {a.id: Line(entries.get(a.id), _interest(factory), factory.prospects.of_fewer_gpus(owner, a), owner.user_name, names) for a in queued}


def other_line(factory: Factory, queued: Allocation, reader: str) -> Line:
    """Return what somebody who cannot change a request, but may know of it, sees of it."""
    return Line(factory.queue_desk.entry(queued.id), _interest(factory), reader=reader)


def every_line(factory: Factory, queued: Sequence[Allocation], opened: Sequence[Allocation]) -> dict[UUID, Line]:
    """Return what an admin sees of the queue, in its order: others' sessions by their names."""
    if not queued:
        return {}
    names = {str(a.id): _name(f"{a.user_name}'s", a) for a in (*queued, *opened)}
    known = {a.id for a in queued}
    return {entry.id: Line(entry, _interest(factory), names=names) for entry in factory.queue_desk.entries() if entry.id in known}


def _name(whose: str, allocation: Allocation) -> str:
    return f"{whose} {'request' if allocation.is_queued else 'session'} {allocation.server_name}".rstrip()


def _interest(factory: Factory) -> timedelta:
    return timedelta(hours=factory.settings.queue_interest_hours)
