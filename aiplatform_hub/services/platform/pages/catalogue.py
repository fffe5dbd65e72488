"""Admin, Catalogue: what is on offer, from which file, to whom."""

from __future__ import annotations

from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import unavailable_templates
from aiplatform_hub.services.platform.api.catalog import not_for
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.catalogue import CataloguePage, Look, catalogue_page, look_as
from aiplatform_hub.web.view_models.paths import Paths


class AdminCatalogueHandler(AdminPage):
    """``GET admin/catalogue``."""

    tab = "catalogue"
    title = "Catalogue"

    async def get(self) -> None:
        await self.admin()
        name = self.fields().get("as_user", "").strip()[:255]
        caller, problem = None, ""
        if name:
            try:
                caller = await self.platform.sessions.caller(name)
            except NotFoundError as error:
                problem = error.message
        page = await self.platform.run(read_page, self.factory, caller, self.paths)
        self.show_tab("admin-catalogue.html", page=page, as_user=name, problem=problem)


def read_page(factory: Factory, caller: Caller | None, paths: Paths) -> CataloguePage:
    """Read and word the catalogue, and how one person sees it."""
    unavailable = unavailable_templates(factory.catalog, factory.settings, factory.enforcer)
    look = None if caller is None else _look(factory, caller, unavailable, paths)
    folders = tuple(map(str, factory.catalog_files.folders))
    return catalogue_page(factory.catalog, factory.catalog_files.look(), folders=folders, unavailable=unavailable, now=factory.clock(), look=look)


def _look(factory: Factory, caller: Caller, unavailable: dict[str, str], paths: Paths) -> Look:
    templates = factory.catalog.environment_templates
    reasons = {name: not_for(template, caller.groups) or unavailable.get(name) for name, template in templates.items()}
    return look_as(caller, factory.enforcer.tier_name(caller), reasons, factory.catalog, paths)
