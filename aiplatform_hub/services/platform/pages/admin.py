"""Admin: who holds what, and who waits; unknown to everybody else."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.auth import STOP
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.web.view_models import admin as view
from aiplatform_hub.web.view_models.admin_tabs import admin_tabs
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

    async def acting_admin(self) -> Caller:
        """Return the admin who changes something; who is none is refused, and the audit trail says so.

        Raises
        ------
        NotFoundError
            If it is somebody else.
        InsufficientScopeError
            If their token may not act on everybody.
        """
        self.is_foreign = not (self.principal.is_admin and self.principal.sees_everybody)
        admin = await self.admin()
        if not self.principal.holds(STOP):
            raise insufficient_scope(STOP)
        return admin

    def show_tab(self, page_template: str, **values: object) -> None:
        """Print one of Admin's pages."""
        self.show(page_template, tabs=admin_tabs(self.tab, self.paths), **values)


def admin_page(factory: Factory) -> view.AdminPage:
    """Read and word what stands below the sessions, the queue and the GPUs."""
    with factory.database.read() as connection:
        opened = factory.allocations.live(connection).open
    return view.AdminPage(
        place=factory.settings.place.value,
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
