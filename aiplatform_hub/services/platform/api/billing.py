"""What stands behind a line of an invoice: for admins and billing viewers."""

from __future__ import annotations

from uuid import UUID

from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.billing_reader import BillingReader
from aiplatform_hub.services.platform.api.admin import DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.billing_models import LineSessionsOut, SessionChargesOut, line_sessions_out, session_charge_out
from aiplatform_hub.services.platform.routes import Reply, Resource, Route


def check_billing(handler: ApiHandler) -> None:
    """Refuse who is neither an admin nor a billing viewer.

    Raises
    ------
    InsufficientScopeError
        Naming the scope.
    """
    if not handler.principal.reads_billing:
        raise insufficient_scope(BILLING)


def uuid_of(text: str, what: str) -> UUID:
    """Return an id in an address.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"There is no {what} {text}.") from error


def position_of(text: str) -> int:
    """Return the position of a line in an address.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 9:  # noqa: PLR2004  more than any invoice has
        raise NotFoundError(f"There is no line {text}.")
    return int(text)


class _BillingApiHandler(AdminApiHandler):
    @property
    def reader(self) -> BillingReader:
        """What reads it."""
        return self.platform.factory.billing_reader


class LineSessionsHandler(_BillingApiHandler):
    """``GET invoices/{id}/lines/{number}/sessions``."""

    async def get(self, invoice_id: str, position: str) -> None:
        """Answer with a page of the sessions behind a line."""
        check_billing(self)
        offset, limit = self.number("cursor", 0), self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        invoice, found = await self.platform.run(self.reader.sessions, uuid_of(invoice_id, "invoice"), position_of(position))
        items = found.sessions[offset : offset + limit]
        cursor = str(offset + limit) if len(found.sessions) > offset + limit else None
        self.reply(line_sessions_out(invoice, found, items, cursor))


class LineSessionHandler(_BillingApiHandler):
    """``GET invoices/{id}/lines/{number}/sessions/{allocation}``."""

    async def get(self, invoice_id: str, position: str, allocation_id: str) -> None:
        """Answer with the charges of a session behind a line."""
        check_billing(self)
        session_id = uuid_of(allocation_id, "session")
        invoice, _, found = await self.platform.run(self.reader.session, uuid_of(invoice_id, "invoice"), position_of(position), session_id)
        self.reply(SessionChargesOut(allocation_id=session_id, currency=invoice.currency, items=tuple(map(session_charge_out, found))))


_FOR = "For admins and billing viewers."
RESOURCES = (
    Resource(
        LineSessionsHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}/lines/{number}/sessions",
                summary="The sessions behind a line of an invoice, the dearest first",
                description=f"{_FOR} As the ledger has them now.",
                scope=READ,
                other_scope=BILLING,
                parameters=page_parameters(cursor="`next_cursor` of the page before"),
                replies={200: Reply("A page", LineSessionsOut)},
                errors=(400, 404),
            ),
        ),
    ),
    Resource(
        LineSessionHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}/lines/{number}/sessions/{allocation}",
                summary="What a session behind a line cost, charge by charge",
                description=_FOR,
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("Its charges", SessionChargesOut)},
                errors=(404,),
            ),
        ),
    ),
)
