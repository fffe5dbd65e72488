"""Admin, Efficiency: who holds GPUs idle, when they are busy, what the policy would do."""

from __future__ import annotations

from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.forecast import Forecast
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.efficiency import EfficiencyPage, efficiency_page, forecast_view
from aiplatform_hub.web.view_models.paths import Paths


class AdminEfficiencyHandler(AdminPage):
    """``GET admin/efficiency``."""

    tab = "efficiency"
    title = "Efficiency"
    is_live = True

    async def get(self) -> None:
        await self.admin()
        page = await self.platform.run(read_page, self.factory, self.platform.forecaster.now, self.paths)
        self.show_tab("admin-efficiency.html", page=page)


class AdminForecastHandler(AdminPage):
    """``POST admin/efficiency/forecast``: work it out."""

    tab = "efficiency"

    async def get(self) -> None:
        """Lead to the page, for a browser that opens the address again."""
        await self.admin()
        self.redirect(f"{self.paths.platform}admin/efficiency#forecast", status=303)

    async def post(self) -> None:
        await self.admin()
        self.platform.forecaster.start()
        self.redirect(f"{self.paths.platform}admin/efficiency#forecast", status=303)


def read_page(factory: Factory, forecast: Forecast, paths: Paths) -> EfficiencyPage:
    """Read and word the page."""
    version = factory.policies.in_force().version
    shown = forecast_view(
        forecast.policies,
        is_running=forecast.is_running,
        made_at=forecast.made_at,
        trouble=forecast.trouble,
        sessions=forecast.sessions,
        days=forecast.days,
        gpus=forecast.gpus,
        is_old=forecast.made_at is not None and forecast.policy_version != version,
    )
    return efficiency_page(
        factory.efficiency.past(),
        factory.efficiency.idle_now(),
        forecast=shown,
        policy_version=version,
        catalog=factory.catalog,
        now=factory.clock(),
        paths=paths,
    )
