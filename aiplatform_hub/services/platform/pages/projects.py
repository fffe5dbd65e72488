"""Admin, Projects: members, shares, limits, cost centre."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.operations.memberships import MembershipDraft
from aiplatform_hub.services.platform.api.projects import read_projects
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.memberships import memberships_part
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.projects import project_cards

_DONE = {"added": "It counts from its first day on.", "ended": "The membership has ended, and stays on record."}


class AdminProjectsHandler(AdminPage):
    """``GET admin/projects``."""

    tab = "projects"
    title = "Projects"

    async def get(self) -> None:
        await self.admin()
        await self.show_projects({})

    async def show_projects(self, typed: Mapping[str, str], error: AIPlatformError | None = None) -> None:
        """Answer with the page; after a refusal with what was typed."""
        records, members = await read_projects(self.platform)
        files = await self.platform.run(self.factory.catalog_files.look)
        found = await self.platform.run(self.factory.memberships.all)
        done = _DONE.get(self.get_query_argument("done", ""), "")
        part = memberships_part(
            found, self.factory.catalog, self.paths, self.factory.clock(), typed=typed, problem=problem_of(error) if error else None, done=done
        )
        cards = project_cards(zip(records, members, strict=True), files, self.factory.catalog, self.paths)
        self.show_tab("admin-projects.html", cards=cards, members=part)


class _MembershipAct(AdminProjectsHandler):
    """Changes a membership, then shows the page."""

    done = ""

    async def get(self, *_membership: str) -> None:
        """Lead to the page, for a browser that opens the address again."""
        await self.admin()
        self.redirect(f"{self.paths.platform}admin/projects", status=303)

    async def post(self, *membership: str) -> None:
        admin = await self.acting_admin()
        fields = self.fields()
        try:
            await self.act(fields, admin.user_name, *map(UUID, membership))
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            self.here = f"{self.paths.platform}admin/projects"
            await self.show_projects(fields, error)
            return
        self.redirect(f"{self.paths.platform}admin/projects?done={self.done}#members", status=303)

    async def act(self, fields: Mapping[str, str], by: str, membership_id: UUID | None = None) -> None:
        """Change something."""
        raise NotImplementedError


class AddMemberHandler(_MembershipAct):
    """``POST admin/projects/members``."""

    done = "added"

    async def act(self, fields: Mapping[str, str], by: str, membership_id: UUID | None = None) -> None:  # noqa: ARG002  there is none yet
        last = _midnight(fields.get("last_day", ""), "last_day")
        draft = MembershipDraft(
            user_name=fields.get("user", ""),
            project=fields.get("project", ""),
            starts_at=_midnight(fields.get("first_day", ""), "first_day"),
            ends_at=None if last is None else last + timedelta(days=1),
            reason=fields.get("reason", ""),
        )
        await self.platform.run(self.factory.memberships.add, draft, by)


class EndMemberHandler(_MembershipAct):
    """``POST admin/projects/members/ID/end``."""

    done = "ended"

    async def act(self, fields: Mapping[str, str], by: str, membership_id: UUID | None = None) -> None:  # noqa: ARG002  nothing is asked
        await self.platform.run(self.factory.memberships.end, membership_id, by)


def _midnight(day: str, field: str) -> datetime | None:
    """Return the UTC midnight with which a day begins; None for no day.

    Raises
    ------
    InvalidOptionError
        If it is no day.
    """
    if not day:
        return None
    try:
        found = date.fromisoformat(day)
        _ = found + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise invalid(field, "Write a day such as 2026-11-30.") from error
    return datetime.combine(found, time(), UTC)
