"""People and their grants: for admins, and everybody's own grants."""

from __future__ import annotations

from uuid import UUID

from aiplatform_hub.clients.hub_api import HubPeople
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.api.admin import ACT, DEFAULT_LIMIT, MAX_LIMIT, AdminApiHandler, page_parameters
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import Platform
from aiplatform_hub.services.platform.bodies import instant, invalid, read_change
from aiplatform_hub.services.platform.people_models import GrantBody, GrantOut, GrantsOut, PeoplePage, grant_out, person_out
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route


class PeopleHandler(AdminApiHandler):
    """``GET people``."""

    async def get(self) -> None:
        """Answer with a page of people."""
        self.check_reads()
        limit = self.number("limit", DEFAULT_LIMIT, least=1, most=MAX_LIMIT)
        offset = self.number("cursor", 0)
        found = await find_people(self.platform, self.get_query_argument("search", ""), self.get_query_argument("project", ""), offset=offset, limit=limit)
        factory = self.platform.factory
        records = await self.platform.run(factory.people.describe, found.people)
        cursor = str(offset + limit) if offset + limit < found.total else None
        self.reply(PeoplePage(items=tuple(person_out(record, factory.clock()) for record in records), total=found.total, next_cursor=cursor))


async def find_people(platform: Platform, search: str, project: str, *, offset: int, limit: int) -> HubPeople:
    """Return a page of people whose names hold a text, members of a project if one is named.

    Raises
    ------
    InvalidOptionError
        If there is no such project.
    """
    groups = None
    if project:
        known = platform.factory.catalog.projects.get(project)
        if known is None:
            raise invalid("project", f"There is no project “{project}”.", tuple(sorted(platform.factory.catalog.projects)))
        groups = None if known.is_personal else known.groups
    return await platform.hub.people(search=search[:255], groups=groups, offset=offset, limit=limit)


class GrantsHandler(AdminApiHandler):
    """``GET users/{user}/grants`` and ``POST users/{user}/grants``."""

    async def get(self, user_name: str) -> None:
        """Answer with a person's latest grants."""
        await self.require(READ, user_name)
        caller = await self.platform.sessions.caller(user_name)
        factory = self.platform.factory
        found = await self.platform.run(factory.grants.of, caller.user_name)
        self.reply(GrantsOut(items=tuple(grant_out(grant, factory.clock()) for grant in found)))

    async def post(self, user_name: str) -> None:
        """Give the person a tier."""
        self.check_acts()
        caller = await self.platform.sessions.caller(user_name)
        body = read_change(GrantBody, self.body_object())
        factory = self.platform.factory
        until = instant(body.expires_at, "expires_at")
        grant = await self.platform.run(factory.grants.grant, caller.user_name, body.tier, until, body.reason, self.principal.name)
        self.reply(grant_out(grant, factory.clock()), 201)


class GrantHandler(AdminApiHandler):
    """``DELETE users/{user}/grants/{id}``."""

    async def delete(self, user_name: str, grant_id: str) -> None:
        """End the grant now."""
        self.check_acts()
        factory: Factory = self.platform.factory
        grant = await self.platform.run(factory.grants.end, grant_id_of(grant_id), user_name, self.principal.name)
        self.reply(grant_out(grant, factory.clock()))


class RestoreHandler(AdminApiHandler):
    """``POST users/{user}/grants/{id}/restore``."""

    async def post(self, user_name: str, grant_id: str) -> None:
        """Take back that it was ended."""
        self.check_acts()
        factory: Factory = self.platform.factory
        grant = await self.platform.run(factory.grants.restore, grant_id_of(grant_id), user_name, self.principal.name)
        self.reply(grant_out(grant, factory.clock()))


def grant_id_of(text: str) -> UUID:
    """Return the id of a grant in an address.

    Raises
    ------
    NotFoundError
        If it is none.
    """
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFoundError("There is no such grant.") from error


RESOURCES = (
    Resource(
        PeopleHandler,
        (
            Route(
                method="GET",
                path="api/v1/people",
                summary="People with tier, groups, projects, grant and what they hold, by name",
                description="For admins.",
                scope=READ,
                parameters=(
                    *page_parameters(cursor="`next_cursor` of the page before"),
                    Parameter("search", "Part of the name", {"type": "string"}),
                    Parameter("project", "Only members of this project", {"type": "string"}),
                ),
                replies={200: Reply("A page", PeoplePage)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        GrantsHandler,
        (
            Route(
                method="GET",
                path="api/v1/users/{user}/grants",
                summary="A person's latest grants, in force and past",
                scope=READ,
                replies={200: Reply("The grants", GrantsOut)},
                errors=(404,),
            ),
            Route(
                method="POST",
                path="api/v1/users/{user}/grants",
                summary="Give a person a tier until an instant; it counts from their next start on",
                description="For admins.",
                scope=ACT,
                body=GrantBody,
                replies={201: Reply("The grant", GrantOut)},
                errors=(400, 404),
            ),
        ),
    ),
    Resource(
        GrantHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/users/{user}/grants/{id}",
                summary="End a grant now; running sessions are left alone",
                description="For admins.",
                scope=ACT,
                replies={200: Reply("The grant", GrantOut)},
                errors=(404, 409),
            ),
        ),
    ),
    Resource(
        RestoreHandler,
        (
            Route(
                method="POST",
                path="api/v1/users/{user}/grants/{id}/restore",
                summary="Take back that a grant was ended; it runs until its own end",
                description="For admins.",
                scope=ACT,
                replies={200: Reply("The grant", GrantOut)},
                errors=(404, 409),
            ),
        ),
    ),
)
