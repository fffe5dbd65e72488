"""Giving back part of an invoice: an admin chooses lines and amounts, sees what they come to, and issues the credit note."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from uuid import UUID

from aiplatform_hub.domain.partial_credits import Part
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models import billing as view
from aiplatform_hub.web.view_models.billing_credit import FIELD, credit_page
from aiplatform_hub.web.view_models.problem import problem_of


class CreditInvoiceHandler(AdminPage):
    """``GET billing/invoices/ID/credit`` shows what a credit note would give back, ``POST`` issues it."""

    active = "billing"
    title = "Credit note"

    async def get(self, invoice_id: str) -> None:
        await self.admin()
        await self._ask(UUID(invoice_id), None)

    async def post(self, invoice_id: str) -> None:
        admin = await self.acting_admin()
        fields, id_ = self.fields(), UUID(invoice_id)
        try:
            parts, seen = tuple(_parts(fields)), _amount("seen_total", fields.get("seen_total", ""))
            if not parts:
                raise invalid("lines", "Name the lines and what to give back of each.")
            made = await self.platform.run(self.factory.invoices.credit, id_, reason=fields.get("reason", ""), by=admin.user_name, parts=parts, seen_total=seen)
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            await self._ask(id_, error)
            return
        self.redirect(view.invoice_url(self.paths, made.id), status=303)

    async def _ask(self, id_: UUID, error: AIPlatformError | None) -> None:
        fields, problem, parts = self.fields(), error, tuple[Part, ...]()
        try:
            parts = tuple(_parts(fields))
            plan = await self.platform.run(self.factory.invoices.plan_credit, id_, parts)
        except AIPlatformError as refused:
            problem = problem or refused
            plan = await self.platform.run(self.factory.invoices.plan_credit, id_, ())
        if problem is not None and error is None:
            self.set_status(problem.status)
        shown = problem_of(problem) if problem else None
        self.show("billing-credit.html", page=credit_page(plan, fields, self.factory.catalog, self.paths, problem=shown))


def _parts(fields: Mapping[str, str]) -> Iterator[Part]:
    """Yield what is asked for; a field that is empty, or 0, gives nothing back."""
    for name, text in fields.items():
        position = name.removeprefix(FIELD)
        if name.startswith(FIELD) and position.isascii() and position.isdigit() and len(position) < 10 and text.strip():  # noqa: PLR2004  more than there are
            amount = _amount(name, text)
            if amount:
                yield Part(int(position), amount)


def _amount(name: str, text: str) -> Decimal:
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        raise invalid(name, f"Write amounts with a point, for example 12.50; “{text[:40]}” is none.") from None
