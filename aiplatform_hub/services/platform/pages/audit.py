"""Admin, Audit: who did what."""

from __future__ import annotations

from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.audit import audit_page

ROWS = 50


class AdminAuditHandler(AdminPage):
    """``GET admin/audit``."""

    tab = "audit"
    title = "Audit"

    async def get(self) -> None:
        await self.admin()
        fields = self.fields()
        actor, before = fields.get("actor", "").strip()[:255], fields.get("before", "")
        before_id = int(before[:18]) if before.isascii() and before.isdigit() else None
        events = await self.platform.run(self.factory.audit_trail.latest, limit=ROWS + 1, before_id=before_id, actor=actor or None)
        self.show_tab("admin-audit.html", page=audit_page(events, limit=ROWS, actor=actor, is_first=before_id is None, paths=self.paths))
