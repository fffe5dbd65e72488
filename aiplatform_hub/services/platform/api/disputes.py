"""Disputes of lines of invoices: opened by billing viewers, answered by admins."""

from __future__ import annotations

from typing import Any

from aiplatform_hub.domain.disputes import DisputeState
from aiplatform_hub.operations.disputes import Disputes
from aiplatform_hub.services.platform.api.admin import ACT, DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.api.billing import check_billing, position_of, uuid_of
from aiplatform_hub.services.platform.auth import BILLING, DISPUTE, READ
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.billing_models import DisputeBody, DisputeOut, DisputePage, WithdrawalBody, dispute_out
from aiplatform_hub.services.platform.bodies import invalid, read_change
from aiplatform_hub.services.platform.dispute_news import admins_of
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.storage.disputes import DisputeFilter

_STATES = tuple(state.value for state in DisputeState)


class DisputeApiHandler(AdminApiHandler):
    """What they share."""

    @property
    def desk(self) -> Disputes:
        """What keeps disputes."""
        return self.platform.factory.disputes

    def check_disputes(self) -> None:
        """Refuse who may not dispute.

        Raises
        ------
        InsufficientScopeError
            Naming the scope.
        """
        if not self.principal.disputes:
            raise insufficient_scope(DISPUTE)


class DisputesHandler(DisputeApiHandler):
    """``GET disputes``."""

    async def get(self) -> None:
        """Answer with a page."""
        check_billing(self)
        state, invoice = self.get_query_argument("state", ""), self.get_query_argument("invoice_id", "")
        if state and state not in _STATES:
            raise invalid("state", f"state must be among {', '.join(_STATES)}.", _STATES)
        which = DisputeFilter(DisputeState(state) if state else None, uuid_of(invoice, "invoice") if invoice else None)
        offset, limit = self.number("cursor", 0), self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        found = await self.platform.run(self.desk.latest, which, limit=limit + 1, offset=offset)
        cursor = str(offset + limit) if len(found) > limit else None
        self.reply(DisputePage(items=tuple(dispute_out(*each) for each in found[:limit]), next_cursor=cursor))


class DisputeHandler(DisputeApiHandler):
    """``GET disputes/{id}``."""

    async def get(self, dispute_id: str) -> None:
        """Answer with one."""
        check_billing(self)
        self.reply(dispute_out(*await self.platform.run(self.desk.find, uuid_of(dispute_id, "dispute"))))


class OpenHandler(DisputeApiHandler):
    """``POST invoices/{id}/lines/{number}/disputes``."""

    async def post(self, invoice_id: str, position: str) -> None:
        """Dispute a line."""
        self.check_disputes()
        body = read_change(DisputeBody, self.body_object())
        about = uuid_of(invoice_id, "invoice"), position_of(position)
        tell = await admins_of(self.platform.hub)
        found = await self.platform.run(self.desk.open, *about, text=body.text, by=self.principal.name, tell=tell)
        self.reply(dispute_out(*found), 201)


class ReplyHandler(DisputeApiHandler):
    """``POST disputes/{id}/reply``."""

    async def post(self, dispute_id: str) -> None:
        """Say more."""
        self.check_disputes()
        body = read_change(DisputeBody, self.body_object())
        tell = await admins_of(self.platform.hub)
        found = await self.platform.run(self.desk.reply, uuid_of(dispute_id, "dispute"), text=body.text, by=self.principal.name, tell=tell)
        self.reply(dispute_out(*found))


class AnswerHandler(DisputeApiHandler):
    """``POST disputes/{id}/answer``."""

    async def post(self, dispute_id: str) -> None:
        """Answer."""
        self.check_acts()
        body = read_change(DisputeBody, self.body_object())
        found = await self.platform.run(self.desk.answer, uuid_of(dispute_id, "dispute"), text=body.text, by=self.principal.name)
        self.reply(dispute_out(*found))


class WithdrawHandler(DisputeApiHandler):
    """``POST disputes/{id}/withdraw``."""

    async def post(self, dispute_id: str) -> None:
        """End one's own."""
        self.check_disputes()
        body = read_change(WithdrawalBody, self.body_object())
        tell = await admins_of(self.platform.hub)
        found = await self.platform.run(self.desk.withdraw, uuid_of(dispute_id, "dispute"), text=body.text, by=self.principal.name, tell=tell)
        self.reply(dispute_out(*found))


_READERS = "For admins and billing viewers."


def _act(handler: type[DisputeApiHandler], word: str, summary: str, **more: Any) -> Resource:
    route = {
        "scope": READ,
        "description": "For billing viewers, with the scope to dispute. Admins are told.",
        "body": DisputeBody,
        "replies": {200: Reply("The dispute", DisputeOut)},
        "errors": (400, 404, 409),
        **more,
    }
    return Resource(handler, (Route(method="POST", path=f"api/v1/{word}", summary=summary, **route),))


RESOURCES = (
    Resource(
        DisputesHandler,
        (
            Route(
                method="GET",
                path="api/v1/disputes",
                summary="Disputes of lines of invoices, the one that was spoken in last first",
                description=_READERS,
                scope=READ,
                other_scope=BILLING,
                parameters=(
                    Parameter("state", "Only in this state", {"type": "string", "enum": list(_STATES)}),
                    Parameter("invoice_id", "Only of this invoice", {"type": "string", "format": "uuid"}),
                    *page_parameters(cursor="`next_cursor` of the page before"),
                ),
                replies={200: Reply("A page", DisputePage)},
                errors=(400, 404),
            ),
        ),
    ),
    Resource(
        DisputeHandler,
        (
            Route(
                method="GET",
                path="api/v1/disputes/{id}",
                summary="One dispute with all that was said",
                description=_READERS,
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("The dispute", DisputeOut)},
                errors=(404,),
            ),
        ),
    ),
    _act(OpenHandler, "invoices/{id}/lines/{number}/disputes", "Dispute a line of an issued invoice", replies={201: Reply("The dispute", DisputeOut)}),
    _act(ReplyHandler, "disputes/{id}/reply", "Say more about a dispute: it is open again"),
    _act(
        AnswerHandler,
        "disputes/{id}/answer",
        "Answer a dispute",
        scope=ACT,
        description="For admins. Whoever disputes is told.",
    ),
    _act(WithdrawHandler, "disputes/{id}/withdraw", "End one's own dispute", body=WithdrawalBody),
)
