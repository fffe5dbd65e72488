"""Billing: months, an invoice, a line with its sessions and disputes, one session; for admins and billing viewers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from aiplatform_hub.domain.disputes import Dispute, DisputeState
from aiplatform_hub.domain.invoices import Invoice, month_span
from aiplatform_hub.errors import AIPlatformError, NotFoundError
from aiplatform_hub.reports.invoice_formats import INVOICE_FORMATS
from aiplatform_hub.services.platform.auth import DISPUTE, STOP
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.dispute_news import admins_of
from aiplatform_hub.services.platform.invoice_files import send_invoice
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.storage.disputes import DisputeFilter
from aiplatform_hub.web.view_models import billing as view
from aiplatform_hub.web.view_models.billing_lines import Reader, charges_page, line_page
from aiplatform_hub.web.view_models.problem import problem_of

MOST_WAITING = 50
"""So many disputes that wait for an answer are shown."""
SHOWN = 50
"""So many sessions are shown at once."""


class BillingPage(Page):
    """A page below Billing: it does not exist for anybody else."""

    active = "billing"
    title = "Billing"

    async def reader(self) -> Reader:
        """Return who looks at the page.

        Raises
        ------
        NotFoundError
            If they may not.
        """
        caller = await self.caller()
        if not self.principal.reads_billing:
            self.is_foreign = self.request.method == "POST"
            raise NotFoundError("There is nothing here.")
        may_answer = self.principal.is_admin and self.principal.sees_everybody and self.principal.holds(STOP)
        return Reader(caller.user_name, may_dispute=self.principal.disputes, may_answer=may_answer)


class BillingHandler(BillingPage):
    """``GET billing``."""

    async def get(self) -> None:
        await self.reader()
        month = self.get_query_argument("before", "")
        try:
            before = month_span(month)[0] if month else None
        except ValueError as error:
            raise invalid("before", str(error)) from error
        found = await self.platform.run(self.factory.billing_reader.months, before=before)
        waiting = await self.platform.run(self.factory.disputes.latest, DisputeFilter(DisputeState.OPEN), limit=MOST_WAITING) if before is None else ()
        budgets = await self.platform.run(self.factory.budgets.all) if before is None else ()
        self.show("billing.html", page=view.months_page(found, waiting, budgets, self.factory.catalog, self.paths, is_newest=before is None))


class InvoiceHandler(BillingPage):
    """``GET billing/invoices/ID``."""

    async def get(self, invoice_id: str) -> None:
        reader = await self.reader()
        invoice = await self.platform.run(self.factory.invoices.find, UUID(invoice_id))
        disputes = await self.platform.run(self.factory.disputes.of_invoice, invoice.id)
        self.title = invoice.number or "Draft"
        labels = {name: each.label for name, each in INVOICE_FORMATS.items() if not each.missing(invoice)}
        self.show("billing-invoice.html", page=view.invoice_page(invoice, disputes, labels, self.factory.catalog, self.paths, may_credit=reader.may_answer))


class InvoiceFileHandler(BillingPage):
    """``GET billing/invoices/ID/file``: the invoice as a file."""

    async def get(self, invoice_id: str) -> None:
        await self.reader()
        await send_invoice(self, UUID(invoice_id))


class _LinePage(BillingPage):
    async def show_line(self, reader: Reader, invoice_id: UUID, position: int, error: AIPlatformError | None = None) -> None:
        """Answer with a line's page."""
        invoice, found = await self.platform.run(self.factory.billing_reader.sessions, invoice_id, position)
        disputes = await self.platform.run(self.factory.disputes.of_invoice, invoice_id)
        self.title = f"Line {position} of {invoice.number or 'a draft'}"
        start = self.get_query_argument("from", "0")
        page = line_page(
            invoice,
            found,
            disputes,
            reader=reader,
            catalog=self.factory.catalog,
            paths=self.paths,
            offset=int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0,  # noqa: PLR2004  more than there are
            size=SHOWN,
            text=self.fields().get("text", "") if error else "",
            problem=problem_of(error) if error else None,
        )
        self.show("billing-line.html", page=page)

    async def act(self, reader: Reader, where: tuple[UUID, int], function: Callable[..., tuple[Dispute, Invoice]], *args: object, **terms: object) -> None:
        """Do something about a dispute, then show its line; a refusal stands there with what was typed."""
        try:
            dispute, _ = await self.platform.run(function, *args, text=self.fields().get("text", ""), by=reader.name, **terms)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            self.here = view.line_url(self.paths, *where)
            await self.show_line(reader, *where, error)
            return
        self.redirect(f"{view.line_url(self.paths, *where)}#thread-{dispute.id}", status=303)

    def check_disputes(self, reader: Reader) -> None:
        """Refuse who may not dispute.

        Raises
        ------
        InsufficientScopeError
            Naming the scope.
        """
        if not reader.may_dispute:
            raise insufficient_scope(DISPUTE)


class LineHandler(_LinePage):
    """``GET billing/invoices/ID/lines/NUMBER``."""

    async def get(self, invoice_id: str, position: str) -> None:
        await self.show_line(await self.reader(), UUID(invoice_id), int(position))


class SessionChargesHandler(BillingPage):
    """``GET billing/invoices/ID/lines/NUMBER/sessions/ID``."""

    async def get(self, invoice_id: str, position: str, allocation_id: str) -> None:
        await self.reader()
        about = UUID(invoice_id), int(position), UUID(allocation_id)
        invoice, line, found = await self.platform.run(self.factory.billing_reader.session, *about)
        self.title = "Session"
        may_open = self.principal.sees_everybody
        self.show("billing-session.html", page=charges_page(invoice, line, found, catalog=self.factory.catalog, paths=self.paths, may_open=may_open))


class OpenDisputeHandler(_LinePage):
    """``POST billing/invoices/ID/lines/NUMBER/disputes``."""

    async def get(self, invoice_id: str, position: str) -> None:
        """Lead to the line: a browser opens the address again."""
        await self.reader()
        self.redirect(view.line_url(self.paths, UUID(invoice_id), int(position)), status=303)

    async def post(self, invoice_id: str, position: str) -> None:
        reader = await self.reader()
        self.check_disputes(reader)
        where = UUID(invoice_id), int(position)
        await self.act(reader, where, self.factory.disputes.open, *where, tell=await admins_of(self.platform.hub))


class DisputeHandler(_LinePage):
    """``POST billing/disputes/ID/reply``, ``answer`` or ``withdraw``."""

    async def get(self, dispute_id: str, verb: str) -> None:  # noqa: ARG002  a browser that opens the address again
        """Lead to the line."""
        await self.reader()
        dispute, _ = await self.platform.run(self.factory.disputes.find, UUID(dispute_id))
        self.redirect(view.line_url(self.paths, dispute.invoice_id, dispute.position), status=303)

    async def post(self, dispute_id: str, verb: str) -> None:
        reader, desk = await self.reader(), self.factory.disputes
        if verb == "answer" and not reader.may_answer:
            raise insufficient_scope(STOP)
        if verb != "answer":
            self.check_disputes(reader)
        dispute, _ = await self.platform.run(desk.find, UUID(dispute_id))
        where = dispute.invoice_id, dispute.position
        if verb == "answer":
            await self.act(reader, where, desk.answer, dispute.id)
            return
        await self.act(reader, where, desk.reply if verb == "reply" else desk.withdraw, dispute.id, tell=await admins_of(self.platform.hub))
