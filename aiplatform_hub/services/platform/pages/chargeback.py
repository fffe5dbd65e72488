"""Admin, Chargeback: a month by cost centre, as a page and as a file."""

from __future__ import annotations

from aiplatform_hub.errors import InvalidOptionError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.api.chargeback import month_before, send_csv
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.chargeback import ChargebackPage, chargeback_page, refused_page
from aiplatform_hub.web.view_models.launch import problem_of
from aiplatform_hub.web.view_models.paths import Paths


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


def read_page(factory: Factory, month: str, paths: Paths) -> ChargebackPage:
    """Read and word a month."""
    found = factory.chargeback.of_month(month)
    return chargeback_page(found, factory.catalog, paths, is_latest=factory.clock() < found.end)
