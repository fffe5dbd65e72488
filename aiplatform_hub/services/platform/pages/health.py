"""Admin, Health: is everything well here."""

from __future__ import annotations

from aiplatform_hub.services.platform.api.health import read_health
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.health import health_page


class AdminHealthHandler(AdminPage):
    """``GET admin/health``."""

    tab = "health"
    title = "Health"
    is_live = True

    async def get(self) -> None:
        await self.admin()
        health, bounds = await self.platform.run(read_health, self.factory, bool(self.platform.hub_auth.hub_host))
        page = health_page(
            health,
            not_enforced=bounds.not_enforced,
            enforced=bounds.enforced,
            place=self.factory.settings.place.value,
            catalog=self.factory.catalog,
        )
        self.show_tab("admin-health.html", page=page)
