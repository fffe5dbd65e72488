"""Launch and stop: hold in our database, then act through the hub with the caller's own token."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from aiplatform_hub.clients.environments import build_command
from aiplatform_hub.clients.hub_api import HubAnswer, HubApiClient, HubUnreachableError, HubUser
from aiplatform_hub.config import Place
from aiplatform_hub.domain.allocations import Allocation, AllocationState, EndCause, ServerKey
from aiplatform_hub.domain.catalog import EnvironmentTemplate
from aiplatform_hub.domain.options import options_of, resolve
from aiplatform_hub.domain.quota import Decision, refusal
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import (
    AIPlatformError,
    CapacityError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    Reason,
    ServerExistsError,
    ServiceUnavailableError,
)
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import unavailable_templates
from aiplatform_hub.operations.prospects import Alternative, Prospect
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.bodies import SERVER_NAME_RULE, invalid
from aiplatform_hub.services.platform.models import SLUG
from aiplatform_hub.services.platform.threads import Threads
from aiplatform_hub.storage.facts import FactsQuery

log = logging.getLogger(__name__)

EARLY_ANSWER_SECONDS = 1.0
"""So long a launch waits for the hub to refuse; a start that goes on is watched in the background."""
MAX_NAMES = 100
ACTOR = "platform"
CHANGED = "changed"
"""Cause of the transition in which an owner changes what a queued request asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to launch, not yet validated."""

    options: dict[str, object]
    user_name: str
    server_name: str | None = None
    """None takes the first free name made from the environment template's."""
    idempotency_key: str | None = None
    door: str = "rest"
    may_wait: bool = False
    """Whether to queue what does not fit now but could later, instead of being refused."""


@dataclass(slots=True, kw_only=True)
class Sessions:
    """Starts and stops servers on behalf of callers whose scopes were checked."""

    factory: Factory
    hub: HubApiClient
    threads: Threads
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _locks: dict[tuple[int, str], asyncio.Lock] = field(default_factory=dict)

    async def caller(self, user_name: str) -> Caller:
        """Return a person with the id and groups that the hub knows.

        Raises
        ------
        NotFoundError
            If the hub has nobody of this name.
        ServiceUnavailableError
            If the hub does not answer.
        """
        user: HubUser | None = await self.hub.user(user_name)
        if user is None:
            raise NotFoundError(f"There is no user {user_name}.")
        projects = await self.threads.run(self.factory.memberships.projects_of, user.name)
        return Caller(user_id=user.id, user_name=user.name, groups=user.groups, projects=projects)

    async def resolve(self, options: dict[str, object], caller: Caller) -> LaunchRequest:
        """Validate options against the catalogue and this place's GPU types.

        Raises
        ------
        InvalidOptionError, ProfileForbiddenError
            Naming every option at fault.
        """
        types = await self.threads.run(self.factory.enforcer.capacity)
        return resolve(options, catalog=self.factory.catalog, caller=caller, available_gpu_types=[entry.name for entry in types])

    async def decide(self, options: dict[str, object], user_name: str, *, may_wait: bool = False) -> tuple[LaunchRequest, Prospect]:
        """Return what a launch would get now; nothing is held or queued."""
        caller = await self.caller(user_name)
        request = await self.resolve(options, caller)
        return request, await self.threads.run(self.factory.prospects.of_one_launch, caller, request, may_wait=may_wait)

    async def alternatives(self, request: LaunchRequest, user_name: str) -> tuple[Alternative, ...]:
        """Return what else somebody could ask for instead, and what would become of it."""
        caller = await self.caller(user_name)
        return await self.threads.run(self._alternatives, caller, request)

    def _alternatives(self, caller: Caller, request: LaunchRequest) -> tuple[Alternative, ...]:
        template = self.factory.catalog.environment_templates[request.environment_template]
        here = [entry.name for entry in self.factory.enforcer.capacity()]
        return self.factory.prospects.alternatives(caller, request, [name for name in here if not template.gpu_types or name in template.gpu_types])

    async def launch(self, order: Order, principal: Principal) -> Allocation:
        """Hold, then start through the hub with the caller's token; or queue, and leave the start to the keeper.

        A repeated ``Idempotency-Key`` gives the first allocation again.

        Raises
        ------
        AIPlatformError
            Every refusal of options, quota, capacity and hub; then nothing stays held.
        """
        caller = await self.caller(order.user_name)
        request = await self.resolve(order.options, caller)
        await self.threads.run(self._refuse_unavailable, self.factory.catalog.environment_templates[request.environment_template])
        if order.idempotency_key is None:
            return await self._hold_and_start(order, principal, caller, request)
        key = (caller.user_id, order.idempotency_key)
        async with self._locks.setdefault(key, asyncio.Lock()):
            try:
                first = await self.threads.run(self._first_answer, *key)
                if first is not None:
                    return await self._again(first, request, order)
                return await self._hold_and_start(order, principal, caller, request)
            finally:
                self._locks.pop(key, None)

    def _first_answer(self, user_id: int, key: str) -> Allocation | None:
        query = FactsQuery(user_id=user_id, user_name="", project=None, now=self.factory.clock(), idempotency_key=key)
        with self.factory.database.read() as connection:
            first_id = self.factory.facts.read(connection, query).first_allocation_id
            return None if first_id is None else self.factory.allocations.find(connection, first_id)

    async def _again(self, first: Allocation, request: LaunchRequest, order: Order) -> Allocation:
        """Return the first answer of an ``Idempotency-Key``, or raise it if it was a refusal."""
        if not await self.threads.run(self._is_what_was_asked, request, first) or order.server_name not in {None, first.server_name}:
            message = "This Idempotency-Key was used for another launch. Use a new key."
            raise ConflictError(message, (Reason("conflict", message, field="Idempotency-Key"),))
        if first.state is AllocationState.DENIED:
            record = await self.threads.run(self.factory.enforcer.why, first.id)
            raise refusal(Decision(record.outcome, record.decision.error_code, record.reasons))
        return first

    def _is_what_was_asked(self, request: LaunchRequest, first: Allocation) -> bool:
        """Return whether a request is the one that made an allocation; its GPUs may have been changed in the queue since."""
        if first.request == request or first.queued_at is None:
            return first.request == request
        with self.factory.database.read() as connection:
            is_changed = any(event.cause == CHANGED for event in self.factory.allocations.history(connection, first.id))
        return is_changed and replace(first.request, gpus=request.gpus, gpu_type=request.gpu_type) == request

    def _refuse_unavailable(self, template: EnvironmentTemplate) -> None:
        reason = unavailable_templates(self.factory.catalog, self.factory.settings, self.factory.enforcer).get(template.name)
        if reason:
            remedies = () if self.factory.settings.place is Place.CLUSTER else (build_command(template),)
            raise ConflictError(reason, (Reason("conflict", reason, field="environment_template", remedies=remedies),))

    async def _hold_and_start(self, order: Order, principal: Principal, caller: Caller, request: LaunchRequest) -> Allocation:
        allocation = await self._hold(order, principal, caller, request)
        if allocation.is_queued:
            return allocation
        start = asyncio.ensure_future(self.hub.start_server(caller.user_name, allocation.server_name, options_of(request), token=principal.token))
        done, _ = await asyncio.wait({start}, timeout=EARLY_ANSWER_SECONDS)
        if done:
            await self._settle(allocation, start)
        else:
            self.watch(self._settle_later(allocation, start))
        return allocation

    async def _hold(self, order: Order, principal: Principal, caller: Caller, request: LaunchRequest) -> Allocation:
        names = [order.server_name] if order.server_name is not None else await self.threads.run(self._free_names, caller, request)
        for name in names:
            try:
                return await self.threads.run(
                    self.factory.enforcer.hold,
                    caller,
                    request,
                    ServerKey(caller.user_id, name),
                    door=order.door,
                    actor=principal.name,
                    idempotency_key=order.idempotency_key,
                    may_wait=order.may_wait,
                )
            except ServerExistsError:
                if name == names[-1]:
                    raise
        raise ServerExistsError(f"{caller.user_name} has servers of every name that {request.environment_template} gives.")

    def _free_names(self, caller: Caller, request: LaunchRequest) -> list[str]:
        """Return names made from the template's that no open allocation has, the first free ones."""
        with self.factory.database.read() as connection:
            taken = self.factory.allocations.names_in_use(connection, caller.user_id)
        base = request.environment_template[:26].rstrip("-")
        names = [base, *(f"{base}-{number}" for number in range(2, MAX_NAMES))]
        return [name for name in names if name not in taken][:3]

    async def _settle(self, allocation: Allocation, start: asyncio.Future[HubAnswer]) -> None:
        """Raise the hub's refusal, after the hold was given back."""
        try:
            answer = start.result()
        except HubUnreachableError:
            await self._give_back(allocation)
            raise
        if not answer.is_ok:
            await self._give_back(allocation)
            raise refusal_of(answer, "start")

    async def _settle_later(self, allocation: Allocation, start: asyncio.Future[HubAnswer]) -> None:
        await asyncio.wait({start})
        try:
            await self._settle(allocation, start)
        except AIPlatformError as error:
            log.warning("start of allocation %s failed: %s", allocation.id, error)

    async def _give_back(self, allocation: Allocation) -> None:
        """Release a hold that no start took up; one that was is the hub's to settle."""
        await self.threads.run(self._release_untaken, allocation)

    def _release_untaken(self, allocation: Allocation) -> None:
        with self.factory.database.read() as connection:
            now = self.factory.allocations.find(connection, allocation.id)
        if now is not None and now.state is AllocationState.HELD and now.starting_at is None:
            self.factory.meter.released(allocation.id, EndCause.START_FAILED, ACTOR)

    async def change_gpus(self, allocation: Allocation, gpus: int, principal: Principal) -> None:
        """Change the GPU count of a queued request.

        Raises
        ------
        AIPlatformError
            If it is not queued any more, if its environment template does not allow so many, or if so many never fit.
        """
        owner = await self.caller(allocation.user_name)
        await self.threads.run(self.factory.queue_desk.change_gpus, allocation.id, owner, gpus, by=principal.name)

    async def stop(self, allocation: Allocation, principal: Principal, message: str = "") -> bool:
        """Withdraw a request, or ask the hub, with the caller's token, to stop a server; False when it is over already.

        Parameters
        ----------
        message
            What its owner is told; empty for nothing.

        Raises
        ------
        ServiceUnavailableError
            If the hub or the database does not answer; then no wish to stop stays recorded.
        ConflictError
            With the hub's sentence, for example while a start is still pending.
        """
        is_own = principal.is_user and principal.name == allocation.user_name
        cause = EndCause.STOPPED_BY_USER if is_own else EndCause.STOPPED_BY_ADMIN
        if allocation.is_queued:
            if await self.threads.run(self.factory.queue_desk.withdraw, allocation.id, by=principal.name, cause=cause, message=message):
                return True
            allocation = await self.threads.run(self._find_again, allocation)  # its turn came at this very moment
        if not allocation.is_open:
            return False
        await self.threads.run(self.factory.stops.request, allocation.id, principal.name, cause, message)
        if allocation.starting_at is None:
            await self.threads.run(self.factory.meter.released, allocation.id, cause, principal.name)
            return True
        try:
            answer = await self.hub.stop_server(allocation.user_name, allocation.server_name, token=principal.token)
        except ServiceUnavailableError:
            await self.threads.run(self.factory.stops.withdraw, allocation.id, principal.name)
            raise
        if not answer.is_ok and answer.status != NotFoundError.status:
            await self.threads.run(self.factory.stops.withdraw, allocation.id, principal.name)
            raise refusal_of(answer, "stop")
        return True

    def _find_again(self, allocation: Allocation) -> Allocation:
        with self.factory.database.read() as connection:
            return self.factory.allocations.find(connection, allocation.id) or allocation

    def watch(self, work: Coroutine[Any, Any, None]) -> None:
        """Let work go on after its request was answered."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, *, timeout_seconds: float = 5) -> None:
        """Wait for work in the background, for a while."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_seconds)


def check_server_name(name: str) -> None:
    """Check that a server's name is a slug.

    Raises
    ------
    InvalidOptionError
        If it is not.
    """
    if not re.fullmatch(SLUG, name):
        raise invalid("server_name", SERVER_NAME_RULE)


def refusal_of(answer: HubAnswer, action: str) -> AIPlatformError:
    """Return our error for what the hub refused, with the hub's own sentence."""
    kinds: dict[int, type[AIPlatformError]] = {400: ConflictError, 403: ForbiddenError, 404: NotFoundError, 409: ConflictError, 429: CapacityError}
    kind = kinds.get(answer.status, ServiceUnavailableError)
    sentence = answer.message or f"JupyterHub did not {action} the server (it answered {answer.status})."
    return kind(sentence, (Reason(kind.code, sentence),), retry_after_seconds=answer.retry_after_seconds or (5 if kind is ServiceUnavailableError else None))
