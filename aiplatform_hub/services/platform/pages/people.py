"""Admin, People: search, one person's rights, and grants with undo."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import unquote
from uuid import UUID

from aiplatform_hub.clients.hub_api import HubUser
from aiplatform_hub.domain.limit_grants import GrantScope, grantable, limit_name
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.limit_grants import LimitGrantDraft
from aiplatform_hub.operations.people import PAST_GRANTS
from aiplatform_hub.services.platform.api.people import find_people
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.people import GrantForm, PersonPage, RaiseForm, people_page, people_url, person_page

ROWS = 50


class PeopleHandler(AdminPage):
    """``GET admin/people``."""

    tab = "people"
    title = "People"

    async def get(self) -> None:
        await self.admin()
        fields, factory = self.fields(), self.factory
        search, project, cursor = fields.get("search", "").strip(), fields.get("project", ""), fields.get("cursor", "0")
        offset = int(cursor) if re.fullmatch(r"[0-9]{1,9}", cursor) else 0
        project = project if project in factory.catalog.projects else ""
        found, grants = await asyncio.gather(find_people(self.platform, search, project, offset=offset, limit=ROWS), self.platform.run(factory.grants.active))
        records = await self.platform.run(factory.people.describe, found.people)
        page = people_page(
            found,
            records,
            search=search,
            project=project,
            offset=offset,
            limit=ROWS,
            grants=grants,
            catalog=factory.catalog,
            now=factory.clock(),
            paths=self.paths,
        )
        self.show_tab("admin-people.html", page=page)


class _OnePerson(AdminPage):
    tab = "people"

    async def person(self, text: str) -> HubUser:
        """Return the person of an address.

        Raises
        ------
        NotFoundError
            If the hub has nobody of this name.
        """
        name = unquote(text)
        found = await self.platform.hub.user(name)
        if found is None:
            raise NotFoundError(f"There is no user “{name}”.")
        self.title = found.name
        return found

    async def show_person(self, user: HubUser, form: GrantForm | RaiseForm) -> None:
        """Answer with the person's page."""
        done = self.get_query_argument("done", "")
        page = await self.platform.run(read_person, self.factory, user, form, done, self.paths)
        self.show_tab("admin-person.html", page=page)


class PersonHandler(_OnePerson):
    """``GET admin/people/NAME``."""

    async def get(self, name: str) -> None:
        await self.admin()
        await self.show_person(await self.person(name), GrantForm())


class _GrantAct(_OnePerson):
    """Changes a person's grants, then shows the person."""

    async def get(self, name: str, *_grant: str) -> None:
        """Lead to the person, for a browser that opens the address again."""
        await self.admin()
        self.redirect(people_url(self.paths, unquote(name)), status=303)

    async def post(self, name: str, *grant: str) -> None:
        await self.acting_admin()
        user, fields = await self.person(name), self.fields()
        try:
            done = await self.act(user, fields, *(UUID(each) for each in grant))
        except AIPlatformError as error:
            self.set_status(error.status)
            self.set_error_headers(error)
            self.here = people_url(self.paths, user.name)
            await self.show_person(user, self.form(fields, error))
            return
        self.redirect(f"{people_url(self.paths, user.name)}?done={done}", status=303)

    def form(self, fields: dict[str, str], error: AIPlatformError) -> GrantForm | RaiseForm:
        """Return what was typed with what is wrong with it; nothing typed is lost."""
        return GrantForm(fields.get("tier", ""), fields.get("last_day", ""), fields.get("reason", ""), _problems(error))

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:
        """Change something; return the grant that it concerns."""
        raise NotImplementedError


class GiveGrantHandler(_GrantAct):
    """``POST admin/people/NAME/grants``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  there is none yet
        tier, reason = fields.get("tier", ""), fields.get("reason", "").strip()
        until = day_after(fields.get("last_day", ""))
        grant = await self.platform.run(self.factory.grants.grant, user.name, tier, until, reason, self.principal.name)
        return grant.id


class EndGrantHandler(_GrantAct):
    """``POST admin/people/NAME/grants/ID/end``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  nothing is asked
        return (await self.platform.run(self.factory.grants.end, grant_id, user.name, self.principal.name)).id


class RestoreGrantHandler(_GrantAct):
    """``POST admin/people/NAME/grants/ID/restore``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  nothing is asked
        return (await self.platform.run(self.factory.grants.restore, grant_id, user.name, self.principal.name)).id


class _LimitAct(_GrantAct):
    def form(self, fields: dict[str, str], error: AIPlatformError) -> GrantForm | RaiseForm:
        """Return what was typed with what is wrong with it; nothing typed is lost."""
        typed = {name: fields.get(name, "") for name in ("limit", "amount", "whom", "last_day", "reason")}
        return RaiseForm(**typed, problems=_problems(error))


class RaiseLimitHandler(_LimitAct):
    """``POST admin/people/NAME/limits``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  there is none yet
        scope, _, group = fields.get("whom", "").partition(":")
        whose = (GrantScope.GROUP, group) if scope == GrantScope.GROUP else (GrantScope.USER, user.name)
        keys = {limit_name(key): key for key in grantable(self.factory.catalog)}
        dimension, gpu_type, window_days = keys.get(fields.get("limit", ""), (fields.get("limit", ""), None, None))
        draft = LimitGrantDraft(
            scope=whose[0],
            name=whose[1],
            dimension=dimension,
            gpu_type=gpu_type,
            window_days=window_days,
            amount=fields.get("amount", ""),
            expires_at=day_after(fields.get("last_day", "")),
            reason=fields.get("reason", ""),
        )
        return (await self.platform.run(self.factory.limit_grants.give, draft, self.principal.name)).id


class EndLimitHandler(_LimitAct):
    """``POST admin/people/NAME/limits/ID/end``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  nothing is asked
        return (await self.platform.run(self.factory.limit_grants.end, grant_id, self.principal.name, of=(user.name, user.groups))).id


class RestoreLimitHandler(_LimitAct):
    """``POST admin/people/NAME/limits/ID/restore``."""

    async def act(self, user: HubUser, fields: dict[str, str], grant_id: UUID | None = None) -> UUID:  # noqa: ARG002  nothing is asked
        return (await self.platform.run(self.factory.limit_grants.restore, grant_id, self.principal.name, of=(user.name, user.groups))).id


def day_after(last_day: str) -> datetime:
    """Return the UTC midnight with which a day ends.

    Raises
    ------
    InvalidOptionError
        If it is no day.
    """
    try:
        return datetime.combine(date.fromisoformat(last_day), time(), UTC) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise invalid("expires_at", "Choose the last day of the grant.") from error


def _problems(error: AIPlatformError) -> dict[str, str]:
    found = {reason.field: reason.message for reason in error.reasons if reason.field} if isinstance(error, InvalidOptionError) else {}
    return found or {"": error.message}


def read_person(factory: Factory, user: HubUser, form: GrantForm | RaiseForm, done: str, paths: Paths) -> PersonPage:
    """Read and word one person's rights."""
    policy = factory.policies.in_force()
    try:
        done_id = UUID(done) if done else None
    except ValueError:
        done_id = None
    return person_page(
        factory.people.rights(user),
        policy=policy.policy,
        policy_version=policy.version,
        max_queued=factory.settings.max_queued_per_user,
        files=factory.catalog_files.look(),
        catalog=factory.catalog,
        form=form if isinstance(form, GrantForm) else GrantForm(),
        raise_form=form if isinstance(form, RaiseForm) else None,
        limit_grants=factory.limit_grants.of(user.name, user.groups, limit=PAST_GRANTS),
        done=done_id,
        now=factory.clock(),
        paths=paths,
    )
