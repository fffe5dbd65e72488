"""Invoices: drafted, issued, paid and taken back by admins."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any
from uuid import UUID

from aiplatform_hub.domain.invoices import State, month_span
from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.operations.invoices import Invoices
from aiplatform_hub.reports.invoice_csv import invoice_csv
from aiplatform_hub.services.platform.api.admin import ACT, DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.api.billing import check_billing
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.bodies import instant, invalid, read_change
from aiplatform_hub.services.platform.invoice_models import (
    CreditBody,
    DraftsBody,
    DraftsOut,
    HandOverOut,
    HandOversOut,
    InvoiceOut,
    InvoicePage,
    LeftOutOut,
    PaymentBody,
    invoice_out,
)
from aiplatform_hub.services.platform.report_files import send_pieces, written
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route

_STATES = tuple(state.value for state in State)


class InvoiceApiHandler(AdminApiHandler):
    """What they share."""

    def check_reads(self) -> None:
        """Refuse who is neither an admin nor a billing viewer.

        Raises
        ------
        InsufficientScopeError
            Naming the scope.
        """
        check_billing(self)

    @property
    def office(self) -> Invoices:
        """What drafts and issues."""
        return self.platform.factory.invoices

    def filters(self) -> dict[str, Any]:
        """Return which invoices the query asks for.

        Raises
        ------
        InvalidOptionError
            If a value is none.
        """
        found = {name: self.get_query_argument(name) for name in ("cost_centre", "legal_entity", "state", "number") if self.get_query_argument(name, "")}
        if found.get("state", State.DRAFT.value) not in _STATES:
            raise invalid("state", f"state must be among {', '.join(_STATES)}.", _STATES)
        month = self.get_query_argument("month", "")
        try:
            return {**found, "period_start": month_span(month)[0]} if month else found
        except ValueError as error:
            raise invalid("month", str(error)) from error


class InvoicesHandler(InvoiceApiHandler):
    """``GET`` and ``POST invoices``."""

    async def get(self) -> None:
        """Answer with a page."""
        self.check_reads()
        filters, offset = self.filters(), self.number("cursor", 0)
        limit = self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        found = await self.platform.run(self.office.latest, filters, limit=limit + 1, offset=offset)
        cursor = str(offset + limit) if len(found) > limit else None
        self.reply(InvoicePage(items=tuple(map(invoice_out, found[:limit])), next_cursor=cursor))

    async def post(self) -> None:
        """Write the drafts of a month."""
        self.check_acts()
        body = read_change(DraftsBody, self.body_object())
        drafts = await self.platform.run(self.office.draft, body.month, by=self.principal.name, cost_centre=body.cost_centre)
        left_out = tuple(LeftOutOut(cost_centre=each.cost_centre, reason=each.reason) for each in drafts.left_out)
        self.reply(DraftsOut(items=tuple(map(invoice_out, drafts.invoices)), left_out=left_out), 201)


class InvoiceHandler(InvoiceApiHandler):
    """``GET`` and ``DELETE invoices/{id}``."""

    async def get(self, invoice_id: str) -> None:
        """Answer with one."""
        self.check_reads()
        self.reply(invoice_out(await self.platform.run(self.office.find, id_of(invoice_id))))

    async def delete(self, invoice_id: str) -> None:
        """Delete a draft."""
        self.check_acts()
        await self.platform.run(self.office.drop, id_of(invoice_id), by=self.principal.name)
        self.set_status(204)


class IssueHandler(InvoiceApiHandler):
    """``POST invoices/{id}/issue``."""

    async def post(self, invoice_id: str) -> None:
        """Give a draft its number."""
        self.check_acts()
        (issued,) = await self.platform.run(self.office.issue, [id_of(invoice_id)], by=self.principal.name)
        self.reply(invoice_out(issued))


class PaymentHandler(InvoiceApiHandler):
    """``POST invoices/{id}/payment``."""

    async def post(self, invoice_id: str) -> None:
        """Note that it was paid."""
        self.check_acts()
        body = read_change(PaymentBody, self.body_object())
        at = None if body.paid_at is None else instant(body.paid_at, "paid_at")
        paid = await self.platform.run(self.office.pay, id_of(invoice_id), reference=body.reference, by=self.principal.name, at=at)
        self.reply(invoice_out(paid))


class CreditHandler(InvoiceApiHandler):
    """``POST invoices/{id}/credit``."""

    async def post(self, invoice_id: str) -> None:
        """Take it back."""
        self.check_acts()
        body = read_change(CreditBody, self.body_object())
        parts = tuple(Part(line.position, None if line.amount is None else _amount(line.amount)) for line in body.lines)
        note = await self.platform.run(self.office.credit, id_of(invoice_id), reason=body.reason, by=self.principal.name, parts=parts)
        self.reply(invoice_out(note), 201)


class HandOversHandler(InvoiceApiHandler):
    """``GET invoices/{id}/hand-overs``."""

    async def get(self, invoice_id: str) -> None:
        """Answer with what the accounting is told of it."""
        self.check_reads()
        found = await self.platform.run(self.office.find, id_of(invoice_id))
        messages = await self.platform.run(self.office.hand_overs, found.id)
        items = tuple(HandOverOut(**{name: getattr(each, name) for name in HandOverOut.model_fields}) for each in messages)
        self.reply(HandOversOut(items=items))


class CsvHandler(InvoiceApiHandler):
    """``GET invoices.csv``."""

    async def get(self) -> None:
        """Answer with what was issued, a row for each line."""
        self.check_reads()
        with await self.platform.run(_csv_file, self.office, self.filters()) as file:
            self.set_header("Content-Type", "text/csv; charset=utf-8")
            self.set_header("Content-Disposition", 'attachment; filename="invoices.csv"')
            await send_pieces(self, file)


def _csv_file(office: Invoices, filters: Mapping[str, Any]) -> IO[bytes]:
    return written(lambda file: file.writelines(row.encode() for row in invoice_csv(office.documents(filters))))


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise invalid("lines", 'Write amounts as decimal strings, for example "12.50".') from None


def id_of(text: str) -> UUID:
    """Return the id of an invoice in an address.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError(f"There is no invoice {text}.") from error


_FILTERS = (
    Parameter("month", "Only of this month, `2026-11`", {"type": "string", "pattern": r"^\d{4}-\d{2}$"}),
    Parameter("cost_centre", "Only of this cost centre", {"type": "string"}),
    Parameter("legal_entity", "Only from this legal entity", {"type": "string"}),
    Parameter("state", "Only in this state", {"type": "string", "enum": list(_STATES)}),
    Parameter("number", "Only the one with this number", {"type": "string"}),
)


def _act(handler: type[InvoiceApiHandler], word: str, summary: str, **more: Any) -> Resource:
    answer = {"description": "For admins.", "replies": {200: Reply("The invoice", InvoiceOut)}, "errors": (404, 409), **more}
    return Resource(handler, (Route(method="POST", path=f"api/v1/invoices/{{id}}/{word}", summary=summary, scope=ACT, **answer),))


RESOURCES = (
    Resource(
        InvoicesHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices",
                summary="Invoices, credit notes and drafts, the newest month first",
                description="For admins and billing viewers.",
                scope=READ,
                other_scope=BILLING,
                parameters=(*_FILTERS, *page_parameters(cursor="`next_cursor` of the page before")),
                replies={200: Reply("A page", InvoicePage)},
                errors=(400,),
            ),
            Route(
                method="POST",
                path="api/v1/invoices",
                summary="Draft the invoices of a month that is over, in place of the drafts that are there",
                description="For admins. The ledger must be complete until the month's end and verify; otherwise nothing is written.",
                scope=ACT,
                body=DraftsBody,
                replies={201: Reply("The drafts", DraftsOut)},
                errors=(400, 409),
            ),
        ),
    ),
    Resource(
        InvoiceHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}",
                summary="One invoice with its lines",
                description="For admins and billing viewers.",
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("The invoice", InvoiceOut)},
                errors=(404,),
            ),
            Route(
                method="DELETE",
                path="api/v1/invoices/{id}",
                summary="Delete a draft; what is issued never goes",
                description="For admins.",
                scope=ACT,
                replies={204: Reply("It is gone")},
                errors=(404, 409),
            ),
        ),
    ),
    _act(
        IssueHandler,
        "issue",
        "Give a draft its number; it never changes from then on",
        description="For admins. The ledger is verified once more, and the draft must say what would be drafted now.",
    ),
    _act(PaymentHandler, "payment", "Note that an issued invoice was paid", body=PaymentBody, errors=(400, 404, 409)),
    _act(
        CreditHandler,
        "credit",
        "Take an invoice, or some of its lines, back by a credit note; once nothing is left its month can be drafted anew",
        body=CreditBody,
        replies={201: Reply("The credit note", InvoiceOut)},
        errors=(400, 404, 409),
    ),
    Resource(
        HandOversHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices/{id}/hand-overs",
                summary="What the accounting was or is to be told of an invoice",
                description="For admins and billing viewers.",
                scope=READ,
                other_scope=BILLING,
                replies={200: Reply("The messages", HandOversOut)},
                errors=(404,),
            ),
        ),
    ),
    Resource(
        CsvHandler,
        (
            Route(
                method="GET",
                path="api/v1/invoices.csv",
                summary="What was issued, a row for each line, for import into an accounting",
                description="For admins and billing viewers. Amounts of credit notes are negative.",
                scope=READ,
                other_scope=BILLING,
                parameters=_FILTERS,
                replies={200: Reply("Comma-separated values with a heading", media_type="text/csv")},
                errors=(400,),
            ),
        ),
    ),
)
