"""Admin, Projects: members, shares, limits, cost centre."""

from __future__ import annotations

from aiplatform_hub.services.platform.api.projects import read_projects
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.projects import project_cards


class AdminProjectsHandler(AdminPage):
    """``GET admin/projects``."""

    tab = "projects"
    title = "Projects"

    async def get(self) -> None:
        await self.admin()
        records, members = await read_projects(self.platform)
        files = await self.platform.run(self.factory.catalog_files.look)
        cards = project_cards(zip(records, members, strict=True), files, self.factory.catalog, self.paths)
        self.show_tab("admin-projects.html", cards=cards)
