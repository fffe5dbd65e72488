"""The platform service's application: objects, addresses, start and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jupyterhub.services.auth import HubOAuth
from tornado.httpserver import HTTPServer
from tornado.web import Application

from aiplatform_hub.clients.hub_api import HubApiClient
from aiplatform_hub.config import Settings
from aiplatform_hub.errors import AIPlatformError, ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.garbage import look_seldom
from aiplatform_hub.operations.cost_reporter import UsageQuery
from aiplatform_hub.services.platform.api.catalog import capacity_out
from aiplatform_hub.services.platform.api.quota import quota_out
from aiplatform_hub.services.platform.api.resources import RESOURCES
from aiplatform_hub.services.platform.base import AUTH_CACHE_SECONDS, Platform, UnknownPath
from aiplatform_hub.services.platform.events import MAX_AGAIN, EventStream, Look, OwnPlace, QueueNews
from aiplatform_hub.services.platform.forecast import Forecaster
from aiplatform_hub.services.platform.pages import page_handlers
from aiplatform_hub.services.platform.queue_views import queue_news
from aiplatform_hub.services.platform.rate_limit import DEFAULT_REQUESTS_PER_MINUTE, RateLimiter, allowances_of
from aiplatform_hub.services.platform.release_news import release_news
from aiplatform_hub.services.platform.sessions import Sessions
from aiplatform_hub.services.platform.static_files import static_compression
from aiplatform_hub.services.platform.threads import Threads
from aiplatform_hub.storage.heartbeats import Heartbeat
from aiplatform_hub.web.security_headers import SecurityHeaders

log = logging.getLogger(__name__)

NEEDED_SCOPES = ("list:users", "read:users", "read:servers", "delete:servers")
HEARTBEAT_SECONDS = 10.0
MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""What is read at all; larger than what is accepted, so that a body that is too large gets an answer."""


class EventSource:
    """What the stream of events reads from the database."""

    def __init__(self, factory: Factory, threads: Threads, sessions: Sessions) -> None:
        self._factory = factory
        self._threads = threads
        self._sessions = sessions

    async def look(self, after_id: int | None) -> Look:
        """Return the transitions after an id, with their allocations."""
        return await self._threads.run(self._look, after_id)

    def _look(self, after_id: int | None) -> Look:
        with self._factory.database.read() as connection:
            latest = self._factory.events.latest_id(connection)
            mark = self._factory.queue_outlooks.mark(connection)
            notice = self._factory.notifications.latest_id(connection)
            if after_id is None or after_id >= latest:
                return Look(latest, (), {}, latest_notice=notice, queue_mark=mark)
            events = self._factory.events.since(connection, after_id, limit=MAX_AGAIN + 1)
            if len(events) > MAX_AGAIN:
                return Look(latest, (), {}, is_cut=True, latest_notice=notice, queue_mark=mark)
            found = {event.allocation_id: self._factory.allocations.find(connection, event.allocation_id) for event in events}
        allocations = {key: allocation for key, allocation in found.items() if allocation is not None}
        return Look(events[-1].id if events else latest, events, allocations, latest_notice=notice, queue_mark=mark)

    async def places(self, people: frozenset[str]) -> QueueNews:
        """Return how many wait, and the places of these people's requests."""
        return await self._threads.run(queue_news, self._factory, people)

    async def releases(self, people: frozenset[str]) -> Mapping[str, tuple[OwnPlace, ...]]:
        """Return what is said of the release of these people's sessions."""
        return await self._threads.run(release_news, self._factory, people)

    async def notices(self, people: frozenset[str]) -> dict[str, int]:
        """Return the id of the newest notice of each of these people who has one."""
        return await self._threads.run(self._notices, people)

    def _notices(self, people: frozenset[str]) -> dict[str, int]:
        with self._factory.database.read() as connection:
            return self._factory.notifications.latest_ids(connection, people)

    async def announcements(self) -> tuple[int, ...]:
        """Return the ids of what everybody is told now."""
        return tuple(one.id for one in await self._threads.run(self._factory.announcements.shown))

    async def capacity(self) -> Any:
        """Return the data of a ``capacity`` event."""
        return await self._threads.run(capacity_out, self._factory)

    async def quota(self, user_name: str) -> Any:
        """Return the data of a ``quota`` event."""
        caller = await self._sessions.caller(user_name)
        return await self._threads.run(quota_out, self._factory, caller)

    async def costs(self, user_name: str) -> list[Any]:
        """Return what each open session of a person has cost until now."""
        return await self._threads.run(self._costs, user_name)

    def _costs(self, user_name: str) -> list[dict[str, Any]]:
        with self._factory.database.read() as connection:
            started = {a.id: a.started_at for a in self._factory.allocations.open(connection) if a.user_name == user_name and a.started_at is not None}
        if not started:
            return []
        query = UsageQuery(min(started.values()), self._factory.clock(), group_by=("allocation",), filters={"allocation": frozenset(started)})
        if query.start >= query.end:
            return []
        rows = self._factory.reporter.costs(query).rows
        return [{"allocation_id": row.keys["allocation"], "amount": row.amount, "currency": row.currency, "gpu_seconds": row.gpu_seconds} for row in rows]


def make_platform(settings: Settings, factory: Factory, *, requests_per_minute: int = DEFAULT_REQUESTS_PER_MINUTE) -> Platform:
    """Return the service's objects. The hub's token and addresses come from ``JUPYTERHUB_*``, as for every service."""
    hub_auth = HubOAuth(cache_max_age=AUTH_CACHE_SECONDS, api_url=settings.hub_api_url)
    threads = Threads()
    hub = HubApiClient(api_url=settings.hub_api_url, token=hub_auth.api_token)
    sessions = Sessions(factory=factory, hub=hub, threads=threads)
    source = EventSource(factory, threads, sessions)
    return Platform(
        settings=settings,
        factory=factory,
        hub=hub,
        hub_auth=hub_auth,
        threads=threads,
        sessions=sessions,
        forecaster=Forecaster(settings=settings, clock=factory.clock),
        limiter=RateLimiter(allowances=allowances_of(requests_per_minute)),
        events=EventStream(
            look=source.look,
            capacity=source.capacity,
            quota=source.quota,
            costs=source.costs,
            places=source.places,
            releases=source.releases,
            notices=source.notices,
            announcements=source.announcements,
        ),
    )


def make_app(platform: Platform) -> Application:
    """Return the application with every address of the service."""
    prefix = platform.settings.api_prefix
    handlers: list[Any] = [
        (prefix + resource.pattern, resource.handler, {"routes": {route.method: route for route in resource.routes}}) for resource in RESOURCES
    ]
    handlers += [
        (f"{prefix}api/.*", UnknownPath),
        *page_handlers(prefix, f"{platform.settings.base_url}hub/"),
    ]
    return Application(
        handlers,
        default_handler_class=UnknownPath,
        transforms=[static_compression(f"{prefix}static/"), SecurityHeaders],  # type: ignore[list-item]  # tornado asks no more of them than two methods
        platform=platform,
        cookie_secret=cookie_secret(platform.settings.secrets_dir / "platform-cookie-secret"),
        log_function=log_request,
    )


def log_request(handler: Any) -> None:
    """Log a request by its path only: the query may hold an XSRF token."""
    status = handler.get_status()
    level = logging.ERROR if status == 500 else logging.DEBUG  # noqa: PLR2004 - HTTP
    log.log(level, "%s %s %s %.0f ms", status, handler.request.method, handler.request.path, handler.request.request_time() * 1000)


def cookie_secret(file: Path) -> bytes:
    """Return the key that signs our cookies; it stays, so that a restart logs nobody out."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return file.read_bytes()
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(secrets.token_bytes(32))
    return file.read_bytes()


class Service:
    """The running service: listens, shows that it lives, and ends in order."""

    def __init__(self, platform: Platform, *, address: str) -> None:
        self._platform = platform
        self._address = address
        self._instance = uuid.uuid4().hex
        self._started_at = platform.factory.clock()
        self._missing: tuple[str, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._server: HTTPServer | None = None

    async def start(self) -> None:
        """Listen, and begin with heartbeats."""
        self._server = HTTPServer(make_app(self._platform), max_body_size=MAX_REQUEST_BYTES, xheaders=True)
        self._server.listen(self._platform.settings.platform_port, self._address)
        self._tasks = [asyncio.create_task(each) for each in (self._beat(), self._check_scopes(), self._warm_up())]
        log.info("platform listens on %s:%s%s", self._address, self._platform.settings.platform_port, self._platform.settings.api_prefix)

    async def stop(self) -> None:
        """Take no more requests, end the streams, finish what runs."""
        if self._server is not None:
            self._server.stop()
        self._platform.events.close()
        self._platform.forecaster.close()
        for task in self._tasks:
            task.cancel()
        await self._platform.sessions.close()
        if self._server is not None:
            await asyncio.wait_for(self._server.close_all_connections(), 5)
        self._platform.threads.close()
        self._platform.factory.close()

    async def _warm_up(self) -> None:
        """Read what every estimate needs before somebody waits for it."""
        try:
            await self._platform.run(self._learn)
        except ServiceUnavailableError as error:
            log.warning("nothing is known yet of how long sessions last: %s", error)
        look_seldom()

    def _learn(self) -> None:
        factory = self._platform.factory
        with factory.database.read() as connection:
            factory.wait_forecaster.learn(connection)

    async def _beat(self) -> None:
        while True:
            try:
                await self._platform.run(self._write_heartbeat)
            except ServiceUnavailableError as error:
                log.warning("no heartbeat: %s", error)
            except Exception:
                log.exception("no heartbeat")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _write_heartbeat(self) -> None:
        factory = self._platform.factory
        beat = Heartbeat("platform", self._instance, self._started_at, factory.clock(), {"pid": os.getpid(), "missing_scopes": list(self._missing)})
        with factory.database.write() as connection:
            factory.heartbeats.beat(connection, beat)

    async def _check_scopes(self) -> None:
        """Name the scopes that this service's token lacks, for example because another ``load_roles`` replaced ours."""
        while True:
            try:
                scopes = set((await self._platform.hub.whoami()).get("scopes", ()))
            except AIPlatformError:
                await asyncio.sleep(1)
                continue
            self._missing = tuple(scope for scope in NEEDED_SCOPES if scope not in scopes)
            if self._missing:
                log.error("the platform's token lacks the scopes %s: give the service the role aiplatform-platform again", ", ".join(self._missing))
            return
