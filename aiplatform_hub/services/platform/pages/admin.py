"""Admin: who holds what and how the machine is doing; unknown to everybody else."""

from __future__ import annotations

from collections.abc import Sequence

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.config import Place
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import CatalogError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import unavailable_templates
from aiplatform_hub.services.platform.auth import STOP
from aiplatform_hub.services.platform.base import insufficient_scope
from aiplatform_hub.services.platform.pages.base import Page
from aiplatform_hub.storage.heartbeats import Heartbeat
from aiplatform_hub.web.view_models import admin as view
from aiplatform_hub.web.view_models.admin_tabs import admin_tabs
from aiplatform_hub.web.view_models.policy_panel import PolicyPanel, policy_panel

PROCESSES = ("hub", "platform", "keeper")
AUDIT_ROWS = 30


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


def admin_page(factory: Factory, has_own_origins: bool) -> view.AdminPage:
    """Read and word what stands below the sessions, the queue and the GPUs."""
    catalog = factory.catalog
    with factory.database.read() as connection:
        opened = factory.allocations.open(connection)
        pool = factory.devices.pool(connection)
        beats = {beat.process: beat for beat in factory.heartbeats.all(connection)}
        audit = factory.audit.latest(connection, limit=AUDIT_ROWS)
    names = [*PROCESSES, *sorted(set(beats) - set(PROCESSES))]
    not_enforced, enforced = enforcement(factory, has_gpus=bool(pool and pool.devices), has_own_origins=has_own_origins)
    return view.AdminPage(
        processes=tuple(_process(name, beats, factory) for name in names),
        not_enforced=not_enforced,
        enforced=enforced,
        audit=tuple(view.audit_row(event) for event in audit),
        catalog_problems=_catalog_problems(factory),
        templates=tuple(
            (catalog.environment_templates[name].display_name, reason)
            for name, reason in unavailable_templates(catalog, factory.settings, factory.enforcer).items()
        ),
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


def _process(name: str, beats: dict[str, Heartbeat], factory: Factory) -> view.ProcessRow:
    beat = beats.get(name)
    return view.process_row(name, beat.at if beat else None, beat.started_at if beat else None, beat.detail if beat else {}, factory.clock())


def _catalog_problems(factory: Factory) -> tuple[str, ...]:
    """Return what is wrong with the files now; the service goes on with what it read at its start."""
    try:
        load_catalog(factory.settings.resolved_catalog_dirs)
    except CatalogError as error:
        return error.problems or (error.message,)
    return ()


def enforcement(factory: Factory, *, has_gpus: bool, has_own_origins: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what this machine or cluster cannot enforce, and what it can."""
    if factory.settings.place is Place.CLUSTER:
        lines = [*view.pod_lines(has_gpus=has_gpus), view.origin_line(has_own_origins=has_own_origins)]
    else:
        lines = [view.limit_line(e.resource, e.reason, is_enforced=e.is_enforced) for e in Cgroups.detect().enforcement()]
        lines.append(view.isolation_line(is_isolated=factory.settings.isolates_users))
        lines.append(view.origin_line(has_own_origins=has_own_origins))
        if has_gpus:
            lines.append(view.gpu_line(is_simulated=factory.settings.simulated_gpus > 0))
    return tuple(text for text, is_bound in lines if not is_bound), tuple(text for text, is_bound in lines if is_bound)
