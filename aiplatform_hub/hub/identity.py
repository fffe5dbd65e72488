"""Tells the services a user's id, and the traffic to servers.

The platform keys everything by the hub's user id, because users and servers can be
renamed, but the hub's REST API does not show ids (6.1). These read-only addresses do:
``GET /hub/api/aiplatform/users/NAME`` and ``GET /hub/api/aiplatform/user-ids/ID``, for tokens
with ``read:users``. ``GET /hub/api/aiplatform/people`` searches all of them at once, which the hub's own list cannot do by group,
for tokens with the unfiltered ``list:users`` and ``read:users``. The hub loads them through ``extra_handlers``: no page, no state, and
nothing but what the hub itself knows.

The hub copies what its proxy knows of traffic every five minutes into ``last_activity``. Whether somebody
opened a server has to be known as of now, so ``GET /hub/api/aiplatform/traffic``, for tokens with the
unfiltered ``read:servers``, asks the proxy.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.orm import Group, User
from jupyterhub.scopes import needs_scope
from tornado.web import HTTPError

from aiplatform_hub.hub.process import shared_by

PROXY_SECONDS = 3
"""Longest wait for the proxy: the hub itself would go on asking for much longer than whoever asks the hub."""


MOST_PEOPLE = 200
"""Most people of one page."""


class UserIdHandler(APIHandler):
    """One person: id, name, groups, admin flag."""

    @needs_scope("read:users")
    def get(self, user_name: str) -> None:
        """Answer with the person, or 404."""
        # the platform asks this for each page: the hub shows its life before the first server starts
        shared_by(self.app.config, str(self.base_url)).process.start_heartbeat()
        user = self.find_user(user_name)
        if user is None:
            raise HTTPError(404)
        self.answer(user)

    def answer(self, user: Any) -> None:
        """Answer with a person."""
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"id": user.id, "name": user.name, "admin": user.admin, "groups": sorted(group.name for group in user.groups)}))


class PeopleHandler(APIHandler):
    """People by a part of their name and by group, a page at a time."""

    @needs_scope("read:users")  # of everybody: without a name in the address no filter counts
    def get(self) -> None:
        """Answer with how many fit, and some of them in order of their names."""
        offset, limit = self._number("offset", 0), min(self._number("limit", MOST_PEOPLE), MOST_PEOPLE)
        fitting = self.db.query(User)
        search = self.get_query_argument("search", "").strip()
        if search:
            fitting = fitting.filter(User.name.icontains(search, autoescape=True))
        groups = self.get_query_arguments("group")
        if groups:
            fitting = fitting.filter(User.groups.any(Group.name.in_(groups)))
        page = fitting.order_by(User.name).offset(offset).limit(limit).all()
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"total": fitting.count(), "people": self._models(page)}))

    def _models(self, page: list[Any]) -> list[dict[str, Any]]:
        """Return people with their groups, in two statements however many they are."""
        joined = self.db.query(User.id, Group.name).join(User.groups).filter(User.id.in_([user.id for user in page]))
        groups: dict[int, list[str]] = {}
        for user_id, name in joined:
            groups.setdefault(user_id, []).append(name)
        return [{"id": user.id, "name": user.name, "admin": user.admin, "groups": sorted(groups.get(user.id, ()))} for user in page]

    def _number(self, name: str, default: int) -> int:
        text = self.get_query_argument(name, str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
            raise HTTPError(400, f"{name} must be a whole number.")
        return int(text)


class TrafficHandler(APIHandler):
    """When each server last had traffic."""

    @needs_scope("read:servers")
    async def get(self) -> None:
        """Answer with the servers of which the proxy tells it, or 503 when it tells nothing."""
        try:
            routes = await asyncio.wait_for(self.proxy.get_all_routes(), PROXY_SECONDS)
        except Exception as error:  # whatever proxy there is, by whatever protocol
            raise HTTPError(503, "The proxy does not tell its routes.") from error
        known = [route["data"] for route in routes.values() if {"user", "server_name", "last_activity"} <= route["data"].keys()]
        servers = [{"user": data["user"], "name": data["server_name"], "active_at": data["last_activity"]} for data in known]
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps({"servers": servers}))


class UserOfIdHandler(UserIdHandler):
    """The same of whoever has an id, under whatever name now."""

    @needs_scope("read:users")  # of everybody: a filter names no ids
    def get(self, user_id: str) -> None:
        """Answer with the person, or 404."""
        user = self.db.get(User, int(user_id))
        if user is None:
            raise HTTPError(404)
        self.answer(user)


IDENTITY_HANDLERS = (
    (r"/api/aiplatform/users/([^/]+)", UserIdHandler),
    (r"/api/aiplatform/user-ids/([0-9]{1,18})", UserOfIdHandler),
    (r"/api/aiplatform/people", PeopleHandler),
    (r"/api/aiplatform/traffic", TrafficHandler),
)
"""For ``c.JupyterHub.extra_handlers``."""
