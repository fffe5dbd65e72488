"""Allocations: launch, list, look, ask why, change what waits, stop."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, NotFoundError
from aiplatform_hub.services.platform.auth import READ, START, STOP
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import instant, invalid, options_in, read_body, read_change, target_user
from aiplatform_hub.services.platform.models import AllocationOut, AllocationPage, LaunchBody, WhyOut, reasons_of
from aiplatform_hub.services.platform.queue_models import QueuedChange
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.sessions import Order, check_server_name
from aiplatform_hub.services.platform.views import AllocationViews
from aiplatform_hub.storage.allocations import AllocationFilter, Cursor

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
STATES = tuple(state.value for state in AllocationState)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class AllocationsHandler(ApiHandler):
    """``GET`` and ``POST allocations``."""

    async def get(self) -> None:
        """Answer with a page of the allocations that the caller may see."""
        named = self.get_query_argument("user", None)
        if named is not None:
            await self.require(READ, named)
        query = self._query(named)
        self.reply(await self.platform.run(self._page, query))

    def _query(self, named: str | None) -> _Query:
        states = frozenset(self.get_query_arguments("state"))
        if states - set(STATES):
            raise invalid("state", f"There is no such state; the states are {', '.join(STATES)}.", STATES)
        until = self.get_query_argument("to", None)
        since = self.get_query_argument("from", None)
        return _Query(
            narrow=AllocationFilter(
                user_name=named if named is not None or self.principal.sees_everybody else self.principal.name,
                states=frozenset(AllocationState(name) for name in states),
                project=self.get_query_argument("project", None),
                since=None if since is None else instant(since, "from"),
            ),
            is_checked=named is not None,
            until=None if until is None else instant(until, "to"),
            limit=self._limit(),
            after=cursor_of(self.get_query_argument("cursor", None)),
        )

    def _limit(self) -> int:
        text = self.get_query_argument("limit", str(DEFAULT_LIMIT))
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
            raise invalid("limit", f"limit must be a whole number from 1 to {MAX_LIMIT}.")
        return int(text)

    def _page(self, query: _Query) -> AllocationPage:
        """Read one page, filtered by what the caller may see; runs in a thread."""
        factory = self.platform.factory
        with factory.database.read() as connection:
            after = query.after
            if query.until is not None and (after is None or after.requested_at > query.until):
                after = Cursor(query.until, UUID(int=0))
            found = factory.allocations.page(connection, query.narrow, limit=query.limit + 1, after=after)
        shown, more = found[: query.limit], len(found) > query.limit
        visible = [allocation for allocation in shown if query.is_checked or self.sees(allocation)]
        items = AllocationViews(factory, self.principal).briefs(visible)
        return AllocationPage(items=items, next_cursor=cursor_text(shown[-1]) if more else None)

    def sees(self, allocation: Allocation) -> bool:
        """Return whether the caller may know of an allocation."""
        return self.principal.may(READ, allocation.user_name, server_name=allocation.server_name)

    async def post(self) -> None:
        """Launch, and answer with the allocation: held, or queued."""
        try:
            await self._launch()
        except AIPlatformError as error:
            metrics.DENIALS.labels(error.code).inc()
            raise

    async def _launch(self) -> None:
        body = read_body(LaunchBody, self.body_object())
        user_name = target_user(body, self.principal)
        await self.require(START, user_name, server_name=body.server_name)
        if body.server_name is not None:
            check_server_name(body.server_name)
        order = Order(
            options=options_in(body),
            user_name=user_name,
            server_name=body.server_name,
            idempotency_key=self._idempotency_key(),
            may_wait=body.if_full == "queue",
        )
        allocation = await self.platform.sessions.launch(order, self.principal)
        self.set_header("Location", f"{self.platform.settings.api_prefix}api/v1/allocations/{allocation.id}")
        was_queued = allocation.queued_at is not None
        self.reply(await self.platform.run(AllocationViews(self.platform.factory, self.principal).full, allocation.id), 202 if was_queued else 201)

    def _idempotency_key(self) -> str | None:
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not _KEY.fullmatch(key):
            raise invalid("Idempotency-Key", "Idempotency-Key has 1 to 255 printable ASCII characters without spaces.")
        return key


@dataclass(frozen=True, slots=True)
class _Query:
    narrow: AllocationFilter
    is_checked: bool
    """Whether the caller may read all of what the filter lets through."""
    until: datetime | None
    limit: int
    after: Cursor | None


class OneAllocation(ApiHandler):
    """What the resources of one allocation share."""

    async def found(self, allocation_id: str) -> Allocation:
        """Return the allocation if the caller may know of it.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        """
        try:
            key = UUID(allocation_id)
        except ValueError as error:
            raise NotFoundError("There is no such allocation.") from error
        allocation = await self.platform.run(self._find, key)
        if allocation is None:
            raise NotFoundError("There is no such allocation.")
        if not self.principal.may(READ, allocation.user_name, server_name=allocation.server_name):
            await self.require_read(allocation)
        return allocation

    def _find(self, key: UUID) -> Allocation | None:
        with self.platform.factory.database.read() as connection:
            return self.platform.factory.allocations.find(connection, key)

    async def tell(self, allocation: Allocation, status: int = 200) -> None:
        """Answer with everything about an allocation, as it is now."""
        self.reply(await self.platform.run(AllocationViews(self.platform.factory, self.principal).full, allocation.id), status)

    async def require_read(self, allocation: Allocation) -> None:
        """Check scopes that name groups; whoever fails is told that there is no such allocation."""
        try:
            await self.require(READ, allocation.user_name, server_name=allocation.server_name)
        except AIPlatformError as error:
            self.is_foreign = True
            raise NotFoundError("There is no such allocation.") from error


class AllocationHandler(OneAllocation):
    """``GET``, ``PATCH`` and ``DELETE allocations/{id}``."""

    async def get(self, allocation_id: str) -> None:
        """Answer with everything about one allocation."""
        allocation = await self.found(allocation_id)
        await self.tell(allocation)

    async def patch(self, allocation_id: str) -> None:
        """Change the GPU count of a request in the queue."""
        allocation = await self.found(allocation_id)
        await self.require(START, allocation.user_name, server_name=allocation.server_name)
        change = read_change(QueuedChange, self.body_object())
        await self.platform.sessions.change_gpus(allocation, change.gpus, self.principal)
        await self.tell(allocation)

    async def delete(self, allocation_id: str) -> None:
        """Withdraw the request or stop the session: 202 while it ends, 204 when it is over already."""
        allocation = await self.found(allocation_id)
        await self.require(STOP, allocation.user_name, server_name=allocation.server_name)
        if not await self.platform.sessions.stop(allocation, self.principal):
            self.set_status(204)
            self.clear_header("Content-Type")
            return
        await self.tell(allocation, 202)


class ConfirmHandler(OneAllocation):
    """``POST allocations/{id}/confirm``."""

    async def post(self, allocation_id: str) -> None:
        """Note that the owner still wants what waits in the queue."""
        allocation = await self.found(allocation_id)
        await self.require(START, allocation.user_name, server_name=allocation.server_name)
        await self.platform.run(self.platform.factory.queue_desk.confirm, allocation.id, by=self.principal.name)
        await self.tell(allocation)


class WhyHandler(OneAllocation):
    """``GET allocations/{id}/decision``."""

    async def get(self, allocation_id: str) -> None:
        """Answer with the stored decision and its replay."""
        allocation = await self.found(allocation_id)
        record = await self.platform.run(self.platform.factory.enforcer.why, allocation.id)
        stored = record.decision
        self.reply(
            WhyOut(
                allocation_id=allocation.id,
                at=stored.at,
                actor=stored.actor,
                outcome=stored.outcome,
                reasons=reasons_of(record.reasons),
                inputs=dict(stored.inputs) if self.principal.sees_everybody else _without_others(stored.inputs, allocation),
                replayed_outcome=record.replayed.outcome.value,
                replayed_reasons=reasons_of(record.replayed.reasons),
                agrees=record.is_reproduced,
            )
        )


def _without_others(inputs: Any, allocation: Allocation) -> dict[str, Any]:
    """Return the inputs with other people's sessions reduced to what they held."""
    kept = {"request", "state", "devices", "held_at", "started_at", "requested_at"}
    sessions = [
        entry if entry["user_id"] == allocation.user_id else {name: value for name, value in entry.items() if name in kept}
        for entry in inputs["open_allocations"]
    ]
    return {**inputs, "open_allocations": sessions}


def cursor_text(last: Allocation) -> str:
    """Return where the next page begins, as a word that callers send back."""
    return base64.urlsafe_b64encode(f"{isoformat(last.requested_at)}/{last.id}".encode()).decode().rstrip("=")


def cursor_of(text: str | None) -> Cursor | None:
    """Return the cursor of a word from an earlier page.

    Raises
    ------
    InvalidOptionError
        If it is none of ours.
    """
    if text is None:
        return None
    try:
        moment, _, key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition("/")
        return Cursor(instant(moment, "cursor"), UUID(key))
    except (ValueError, binascii.Error, InvalidOptionError) as error:
        raise invalid("cursor", "cursor must be the next_cursor of the page before.") from error


_TEXT = {"type": "string"}
_INSTANT = {"type": "string", "format": "date-time"}

RESOURCES = (
    Resource(
        AllocationsHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations",
                summary="Allocations, newest first",
                description="A caller's own; admins and services with the unfiltered scope get everybody's.",
                scope=READ,
                parameters=(
                    Parameter("state", "Only these states; may be given several times", {"type": "array", "items": {"enum": list(STATES)}}),
                    Parameter("user", "Only this person's", _TEXT),
                    Parameter("project", "Only this project's", _TEXT),
                    Parameter("from", "Requested at or after this instant", _INSTANT),
                    Parameter("to", "Requested before this instant", _INSTANT),
                    Parameter("limit", "Most items of a page", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
                    Parameter("cursor", "`next_cursor` of the page before", _TEXT),
                ),
                replies={200: Reply("A page", AllocationPage)},
                errors=(400, 404),
            ),
            Route(
                method="POST",
                path="api/v1/allocations",
                summary="Launch an environment",
                description=(
                    "Holds the resources and asks JupyterHub to start the server. What does not fit now but could later waits in the queue and starts by itself, "
                    "unless `if_full` is `fail`. Nothing stays held or queued after a refusal."
                ),
                scope=START,
                parameters=(
                    Parameter("Idempotency-Key", "The same key again returns the first answer and starts nothing", {**_TEXT, "maxLength": 255}, "header"),
                ),
                body=LaunchBody,
                replies={
                    201: Reply("Held; the server is starting", AllocationOut, headers=("Location",)),
                    202: Reply("Queued; the server starts when its turn comes", AllocationOut, headers=("Location",)),
                },
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        AllocationHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations/{id}",
                summary="One allocation with its history, decision and cost so far",
                scope=READ,
                replies={200: Reply("The allocation", AllocationOut)},
                errors=(404,),
            ),
            Route(
                method="DELETE",
                path="api/v1/allocations/{id}",
                summary="Stop a session, or withdraw a request from the queue; may be repeated",
                scope=STOP,
                replies={202: Reply("The session is being stopped, or the request is withdrawn", AllocationOut), 204: Reply("It was over already")},
                errors=(404, 409),
            ),
            Route(
                method="PATCH",
                path="api/v1/allocations/{id}",
                summary="Change the GPU count of a request in the queue",
                description="Fewer GPUs keep the submit time, more go to the back. What runs already is not changed.",
                scope=START,
                body=QueuedChange,
                replies={200: Reply("The allocation", AllocationOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        ConfirmHandler,
        (
            Route(
                method="POST",
                path="api/v1/allocations/{id}/confirm",
                summary="Say that a request in the queue is still wanted; its time in the queue begins anew",
                scope=START,
                replies={200: Reply("The allocation", AllocationOut)},
                errors=(404, 409),
            ),
        ),
    ),
    Resource(
        WhyHandler,
        (
            Route(
                method="GET",
                path="api/v1/allocations/{id}/decision",
                summary="Why an allocation was admitted or refused: the decision's inputs, and their replay",
                scope=READ,
                replies={200: Reply("The decision", WhyOut)},
                errors=(404,),
            ),
        ),
    ),
)
