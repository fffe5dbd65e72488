"""What all pages share: the frame, the policy for scripts, refusals as pages, costs of allocations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.errors import InsufficientScopeError, NotFoundError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import PageHandler
from aiplatform_hub.storage.database import Connection
from aiplatform_hub.web.rendering import render, static_version
from aiplatform_hub.web.security_headers import CSP, PAGE_POLICY
from aiplatform_hub.web.view_models.announcements import Banner, banners, dismissed_ids
from aiplatform_hub.web.view_models.environments import Money
from aiplatform_hub.web.view_models.formats import notices
from aiplatform_hub.web.view_models.frame import Frame
from aiplatform_hub.web.view_models.inbox import EMPTY, Inbox, beside, inbox
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import problem_of

DISMISSED_COOKIE = "aiplatform-dismissed"
"""Ids of announcements that this browser has hidden; it is gone when the browser ends."""


class Page(PageHandler):
    """One page."""

    active = ""
    """Name of its navigation entry."""
    title = ""
    inbox: Inbox = EMPTY
    """What the reader is told; set by ``prepare``."""
    announcements: tuple[Banner, ...] = ()
    """What everybody is told and this browser has not hidden; set by ``prepare``."""
    is_live = False
    """Whether the page reads a part of itself again whenever its stream tells of something."""
    state = ""
    """How things stood before anything on a live page was read; set by ``prepare``."""
    here = ""
    """Path and query that what moves on the page is refreshed from; empty means the request's own."""

    def set_default_headers(self) -> None:
        """Add the pages' policy for scripts and styles."""
        super().set_default_headers()
        self.set_header(CSP, PAGE_POLICY)

    async def prepare(self) -> None:
        """Authenticate, and read what the person is told."""
        await super().prepare()
        if not self._finished:
            self.state = await self.read_state()
            self.inbox = await self.read_inbox()
            self.announcements = await self.read_announcements()

    async def read_state(self) -> str:
        """Return how things stand, so that the page's stream need not tell it again; empty where no stream is opened for this answer."""
        is_opening = self.is_live and self.request.method == "GET" and "HX-Request" not in self.request.headers
        if not is_opening or not self.principal.may(READ, self.principal.name):
            return ""
        try:
            return await self.platform.events.state_of(self.principal)
        except ServiceUnavailableError:
            return ""

    async def read_announcements(self) -> tuple[Banner, ...]:
        """Return what everybody is told, without what this browser has hidden."""
        shown = await self.platform.run(self.factory.announcements.shown)
        return banners(shown, self.dismissed(), self.factory.clock())

    def dismissed(self) -> frozenset[int]:
        """Return which announcements this browser has hidden."""
        return dismissed_ids(self.get_cookie(DISMISSED_COOKIE, "") or "")

    async def read_inbox(self) -> Inbox:
        """Return what the person is told; nothing while the database is away, which the page itself explains."""
        principal = self.principal
        if not principal.is_user or not principal.may(READ, principal.name):
            return EMPTY
        try:
            return await self.platform.run(inbox_of, self.factory, principal.name, self.paths)
        except ServiceUnavailableError:
            return EMPTY

    @property
    def paths(self) -> Paths:
        """Addresses below the hub's base URL."""
        return Paths(self.platform.settings.base_url)

    @property
    def factory(self) -> Factory:
        """The makers of stores and operations."""
        return self.platform.factory

    async def caller(self) -> Caller:
        """Return the person who looks at the page.

        Raises
        ------
        InsufficientScopeError
            If their token may not read their servers.
        NotFoundError
            If a service, which has no environments, asks.
        """
        if not self.principal.is_user:
            raise NotFoundError("Pages are for people; a service uses the REST API.")
        if not self.principal.may(READ, self.principal.name):
            raise InsufficientScopeError(f"This needs the scope {READ}!user={self.principal.name}.")
        return await self.platform.sessions.caller(self.principal.name)

    def fields(self) -> dict[str, str]:
        """Return the last value of each argument of the query, or of a submitted form."""
        arguments = self.request.body_arguments if self.request.method == "POST" else self.request.query_arguments
        return {name: values[-1].decode("utf-8", "replace") for name, values in arguments.items() if name != "_xsrf" and values}

    def own_address(self, text: str) -> str:
        """Return path and query of a page of ours that a form or a script names; Home for anything else."""
        try:
            page = urlsplit(text)
        except ValueError:
            return self.paths.home
        address = f"{page.path}?{page.query}" if page.query else page.path
        return address if address.startswith(self.paths.platform) and address.isprintable() else self.paths.home

    def frame(self) -> Frame:
        """Return what is around the content."""
        principal = getattr(self, "principal", None)
        settings = self.platform.settings
        xsrf = self.xsrf_token if principal is not None else b""
        here = self.here or self.request.uri or ""
        return Frame(
            title=self.title,
            paths=self.paths,
            user_name=principal.name if principal else "",
            is_admin=bool(principal and principal.is_admin),
            reads_billing=bool(principal and principal.reads_billing),
            active=self.active,
            notices=notices(is_demo=settings.is_demo, has_simulated_gpus=settings.simulated_gpus > 0, is_isolated=settings.isolates_users),
            xsrf=xsrf.decode() if isinstance(xsrf, bytes) else str(xsrf),
            here=here,
            state=self.state,
            version=static_version(),
            inbox=beside(self.inbox, here.partition("?")[0], self.paths),
            announcements=self.announcements,
            push_key=self.factory.vapid_key.public if principal is not None and self.factory.has_push else "",
        )

    def show(self, page_template: str, **values: Any) -> None:
        """Answer with a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(render(page_template, self.frame(), **values))

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - the error knows its status
        """Answer with the error as a page."""
        error = self.error_of(kwargs)
        self.set_error_headers(error)
        self.title = error.title
        self.show("problem.html", problem=problem_of(error))


def inbox_of(factory: Factory, user_name: str, paths: Paths) -> Inbox:
    """Read and word what a person is told."""
    told, marks = factory.notices.beside(user_name)
    return inbox([(each.notice, each.words) for each in told], newest=marks.newest, is_waiting=marks.is_waiting, paths=paths)


def costs_of(factory: Factory, connection: Connection, allocations: Sequence[Allocation]) -> dict[UUID, Money]:
    """Return the cost so far of each allocation that ran."""
    found = factory.session_costs.of(connection, allocations, factory.clock())
    return {id_: Money(cost.amount, cost.currency) for id_, cost in found.items()}
