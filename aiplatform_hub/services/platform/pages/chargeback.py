"""Chargeback: a month by cost centre, as a page and as a file, below Admin and below Billing; and what one cost centre was charged for."""

from __future__ import annotations

from urllib.parse import urlencode

from aiplatform_hub.domain.report_months import span_of_month
from aiplatform_hub.errors import InvalidOptionError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.services.platform.api.chargeback import month_before, send_csv
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.services.platform.pages.billing import BillingPage
from aiplatform_hub.web.view_models.billing import centre_label, invoice_url
from aiplatform_hub.web.view_models.chargeback import ADMIN, BILLING, CentrePage, CentrePart, ChargebackPage, chargeback_page, refused_page
from aiplatform_hub.web.view_models.formats import stamp
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.usage import Link, row

_GROUPS = {"project": "project", "gpu_type": "GPU type", "environment_template": "environment", "user": "person"}
"""What a cost centre's charges are grouped by, with its label."""
MOST_DOCUMENTS = 50


class AdminChargebackHandler(AdminPage):
    """``GET admin/chargeback``."""

    tab = "chargeback"
    title = "Chargeback"

    async def get(self) -> None:
        await self.admin()
        month = self.fields().get("month") or month_before(self.factory.clock())
        try:
            page = await self.platform.run(read_page, self.factory, month, self.paths)
        except InvalidOptionError as error:
            self.set_status(error.status)
            page = refused_page(month, problem_of(error), self.paths)
        self.show_tab("admin-chargeback.html", page=page)


class AdminChargebackFileHandler(AdminPage):
    """``GET admin/chargeback.csv``."""

    async def get(self) -> None:
        await self.admin()
        month = self.fields().get("month") or month_before(self.factory.clock())
        send_csv(self, await self.platform.run(self.factory.chargeback.of_month, month))


class ChargebackHandler(BillingPage):
    """``GET billing/chargeback``."""

    title = "Chargeback"

    async def get(self) -> None:
        await self.reader()
        month = self.fields().get("month") or month_before(self.factory.clock())
        try:
            page = await self.platform.run(read_page, self.factory, month, self.paths, BILLING)
        except InvalidOptionError as error:
            self.set_status(error.status)
            page = refused_page(month, problem_of(error), self.paths, place=BILLING)
        self.show("billing-chargeback.html", page=page)


class ChargebackFileHandler(BillingPage):
    """``GET billing/chargeback.csv``."""

    async def get(self) -> None:
        await self.reader()
        month = self.fields().get("month") or month_before(self.factory.clock())
        send_csv(self, await self.platform.run(self.factory.chargeback.of_month, month))


class CentreHandler(BillingPage):
    """``GET billing/chargeback/centre``."""

    async def get(self) -> None:
        await self.reader()
        fields = self.fields()
        month, name = fields.get("month") or month_before(self.factory.clock()), fields.get("name", "")
        page = await self.platform.run(read_centre, self.factory, month, name, self.paths)
        self.title = page.title
        self.show("billing-centre.html", page=page)


def read_page(factory: Factory, month: str, paths: Paths, place: str = ADMIN) -> ChargebackPage:
    """Read and word a month."""
    found = factory.chargeback.of_month(month)
    return chargeback_page(found, factory.catalog, paths, is_latest=factory.clock() < found.end, place=place)


def read_centre(factory: Factory, month: str, name: str, paths: Paths) -> CentrePage:
    """Read and word what a cost centre was charged for; of days that are over the daily sums tell.

    Raises
    ------
    InvalidOptionError
        If it is no month.
    NotFoundError
        If there is no such cost centre, and nothing was charged to it.
    """
    span, catalog = span_of_month(month), factory.catalog
    filters = {"cost_centre": name}
    found = factory.reporter.costs_together([UsageQuery(span.start, span.end, (group,), filters) for group in _GROUPS])
    reports = dict(zip(_GROUPS, found, strict=True))
    documents = factory.invoices.latest({"cost_centre": name, "period_start": span.start}, limit=MOST_DOCUMENTS)
    if name not in catalog.cost_centres and not documents and not reports["project"].rows:
        raise NotFoundError("There is no such cost centre.")
    until = reports["project"].complete_until
    return CentrePage(
        title=centre_label(name, catalog),
        heading=f"{span.start:%B %Y}",
        back_url=f"{paths.platform}billing/chargeback?{urlencode({'month': month})}",
        parts=tuple(CentrePart(group, label, tuple(row(each, group, catalog) for each in reports[group].rows)) for group, label in _GROUPS.items()),
        documents=tuple(Link(each.number or "Draft", invoice_url(paths, each.id), is_current=False) for each in documents),
        complete_until=stamp(until) if until < span.end else None,
    )
