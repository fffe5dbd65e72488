"""Admin: who holds what, and who waits; unknown to everybody else."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.services.platform.pages.queue import every_line
from aiplatform_hub.web.view_models import admin as view
from aiplatform_hub.web.view_models.admin_tabs import admin_tabs
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel, policy_panel


class AdminPage(Page):
    """A page below Admin: it does not exist for anybody else."""

    active = "admin"
    title = "Admin"
    tab = ""
    """Name of its entry in Admin's own navigation."""

    async def admin(self) -> Caller:
        """Return the admin who looks at the page.

        Raises
        ------
        NotFoundError
            If it is somebody else.
        """
        caller = await self.caller()
        if not (self.principal.is_admin and self.principal.sees_everybody):
            raise NotFoundError("There is nothing here.")
        return caller

    def show_tab(self, page_template: str, **values: object) -> None:
        """Print one of Admin's pages."""
        self.show(page_template, tabs=admin_tabs(self.tab, self.paths), **values)


class AdminHandler(AdminPage):
    """``GET admin``."""

    tab = "now"

    async def get(self) -> None:
        await self.admin()
        self.show_tab("admin.html", page=await self.platform.run(admin_page, self.factory, self.paths))


def admin_page(factory: Factory, paths: Paths) -> view.AdminPage:
    """Read and word everything on Admin."""
    now, catalog = factory.clock(), factory.catalog
    with factory.database.read() as connection:
        opened = factory.allocations.open(connection)
        queued = {a.id: a for a in factory.allocations.queued(connection)}
        pool = factory.devices.pool(connection)
        samples = factory.activity.fresh_samples(connection, now)
    costs, lines = costs_of(factory, opened), every_line(factory, tuple(queued.values()), opened)
    return view.AdminPage(
        holders=tuple(view.holder_row(a, cost=costs.get(a.id), catalog=catalog, now=now, paths=paths) for a in opened),
        devices=view.device_rows(pool.devices if pool else (), opened, catalog, samples),
        place=factory.settings.place.value,
        queue=tuple(view.queue_row(queued[id_], line, catalog=catalog, now=now, paths=paths) for id_, line in lines.items()),
        policy=_policy(factory, opened),
    )


def _policy(factory: Factory, opened: Sequence[Allocation]) -> PolicyPanel:
    found = factory.policies.in_force()
    return policy_panel(
        found.policy,
        version=found.version,
        applied_at=found.applied_at,
        applied_by=found.applied_by,
        trouble=found.trouble,
        opened=opened,
        catalog=factory.catalog,
        now=factory.clock(),
    )
