"""The keeper's part of the queue: it looks, holds, and has the hub start what it held."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from aiplatform_hub.clients.hub_api import HubAnswer, HubApiClient, HubUnreachableError
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.options import options_of
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.releaser import Claims

LOOK_SECONDS = 0.2
"""Time between two looks whether anything happened."""
PASS_SECONDS = 1.0
"""Time after which a pass is made though nothing happened."""
PEOPLE_SECONDS = 10.0
"""How long the hub's word on a person is believed."""
PEOPLE_PER_SECOND = 10
"""How many people at most are asked for in a second, once each of them is known."""
AGAIN_SECONDS = 2.0
"""Time between two tries to start what the hub could not start just then."""
PATIENCE = timedelta(seconds=30)
"""How long a hold is tried to be started: well within its minute."""
_PASSING = frozenset({400, 409, 429})
"""Answers that may be others in a moment: an earlier server of the name still stops, or the hub starts too many at once."""
_LOG = logging.getLogger(__name__)
Owner = tuple[int, str]
"""The hub's id of a person, with their name as it is stored."""


class DispatchDuty:
    """Makes passes over the queue and starts what was held."""

    def __init__(self, *, factory: Factory, hub: HubApiClient) -> None:
        self._factory = factory
        self._hub = hub
        self._people: dict[Owner, tuple[Caller | None, float]] = {}
        self._starting: dict[UUID, asyncio.Task[None]] = {}
        self._seen_event = -1
        self._passed_at = -PASS_SECONDS
        self._is_empty = False
        self._is_hub_away = False
        self._claims: Claims = {}

    def claims(self) -> Claims:
        """Return the sessions whose GPUs the last pass asked for; none while the queue stands still."""
        return self._claims

    async def look(self) -> None:
        """Make a pass if something happened since the last one, or if it is a second ago.

        Raises
        ------
        ServiceUnavailableError
            If the database does not answer; then nobody starts, and nobody loses their place.
        """
        event = await asyncio.to_thread(self._latest_event)
        now = time.monotonic()
        if event == self._seen_event and now - self._passed_at < PASS_SECONDS:
            return
        self._seen_event, self._passed_at = event, now
        self._start(await asyncio.to_thread(self._factory.dispatcher.unstarted))  # what an earlier keeper held
        owners = await asyncio.to_thread(self._factory.dispatcher.owners)
        if not owners and self._is_empty and not self._factory.dispatcher.looks_when_empty:
            return
        people = await self._known_or_none(owners)
        if people is None:
            self._claims = {}
            return
        dispatched = await asyncio.to_thread(self._factory.dispatcher.dispatch, people)
        self._is_empty, self._claims = not dispatched.entries, dispatched.claims
        for id_, cause in dispatched.ended.items():
            _LOG.info("Request %s left the queue: %s", id_, cause)
        self._start(dispatched.held)
        if dispatched.goes_on:
            self._passed_at = -PASS_SECONDS

    async def end(self) -> None:
        """Leave starts that are under way to the hub."""
        for task in self._starting.values():
            task.cancel()

    def _latest_event(self) -> int:
        with self._factory.database.read() as connection:
            return self._factory.events.latest_id(connection)

    async def _known_or_none(self, owners: frozenset[Owner]) -> dict[str, Caller | None] | None:
        """Return who the owners are; None while the hub does not tell: then it could not start anything either."""
        try:
            people = await self._known(owners)
        except ServiceUnavailableError as error:
            if not self._is_hub_away:
                _LOG.warning("The queue stands still: %s", error)
            self._is_hub_away = True
            return None
        self._is_hub_away = False
        return people

    async def _known(self, owners: frozenset[Owner]) -> dict[str, Caller | None]:
        """Return who the owners are, asking the hub again after a while: a few at a time, the longest known first."""
        now = time.monotonic()
        self._people = {owner: known for owner, known in self._people.items() if owner in owners}
        new = sorted(owners - self._people.keys())
        old = sorted((at, owner) for owner, (_, at) in self._people.items() if now - at > PEOPLE_SECONDS)[:PEOPLE_PER_SECOND]
        for owner in (*new, *(owner for _, owner in old)):
            caller = await self._caller(*owner)
            self._people.pop(owner, None)
            self._people[owner if caller is None else (caller.user_id, caller.user_name)] = (caller, now)
        gone: dict[str, Caller | None] = {name: None for (_, name), (caller, _) in self._people.items() if caller is None}
        mine = await asyncio.to_thread(self._factory.memberships.projects_by_user) if self._people else {}
        known = [replace(caller, projects=mine.get(caller.user_name, frozenset())) for caller, _ in self._people.values() if caller is not None]
        return gone | {caller.user_name: caller for caller in known}

    async def _caller(self, user_id: int, user_name: str) -> Caller | None:
        """Return an owner by their name, or by their id where they have another name now; their requests follow them."""
        user = await self._hub.user(user_name)
        if user is None or user.id != user_id:
            user = await self._hub.user_of_id(user_id)
            if user is None:
                return None
            _LOG.info("Somebody who waits has another name now")
            await asyncio.to_thread(self._factory.dispatcher.renamed, user_id, user.name)
        return Caller(user.id, user.name, user.groups)

    def _start(self, held: Iterable[Allocation]) -> None:
        for allocation in held:
            if allocation.id not in self._starting:
                task = asyncio.create_task(self._start_one(allocation))
                self._starting[allocation.id] = task
                task.add_done_callback(lambda _, id_=allocation.id: self._starting.pop(id_, None))  # type: ignore[misc]  # mypy cannot infer the default

    async def _start_one(self, allocation: Allocation) -> None:
        """Have the hub start a hold; what goes wrong is settled here or by the next pass."""
        try:
            while not await self._is_settled(allocation):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(AGAIN_SECONDS)
        except HubUnreachableError:
            await asyncio.to_thread(self._factory.dispatcher.give_back, allocation.id)
        except ServiceUnavailableError as error:
            _LOG.warning("Whether request %s was started is not known; looking again: %s", allocation.id, error)
            await asyncio.sleep(AGAIN_SECONDS)
        except Exception:  # noqa: BLE001 - the edge of a background task
            _LOG.exception("Request %s could not be started", allocation.id)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _is_settled(self, allocation: Allocation) -> bool:
        """Try once; return whether there is nothing left to try.

        Raises
        ------
        ServiceUnavailableError
            If hub or database do not answer.
        """
        answer = await self._hub.start_server(allocation.user_name, allocation.server_name, options_of(allocation.request))
        if answer.is_ok or not await asyncio.to_thread(self._is_untaken, allocation.id):
            return True
        if _may_pass(answer) and not self._is_late(allocation):
            return False
        _LOG.warning("The hub does not start request %s: %s %s", allocation.id, answer.status, answer.message)
        await asyncio.to_thread(self._factory.dispatcher.start_failed, allocation.id)
        return True

    def _is_untaken(self, allocation_id: UUID) -> bool:
        with self._factory.database.read() as connection:
            now = self._factory.allocations.find(connection, allocation_id)
        return now is not None and now.state is AllocationState.HELD and now.starting_at is None

    def _is_late(self, allocation: Allocation) -> bool:
        return allocation.held_at is None or self._factory.clock() - allocation.held_at > PATIENCE


def _may_pass(answer: HubAnswer) -> bool:
    """Whether the same start may go better in a moment."""
    return answer.status in _PASSING or answer.status >= 500  # noqa: PLR2004 - HTTP
