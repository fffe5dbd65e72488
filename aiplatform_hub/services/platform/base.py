"""Base handlers: authentication, refusals as problem+json, work in threads.

``ApiHandler`` is for the REST API, ``PageHandler`` for pages. Both know
``self.principal`` after ``prepare`` and ``self.platform``, the service's objects.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated
from tornado.web import HTTPError, RequestHandler

from aiplatform_hub import metrics
from aiplatform_hub.errors import (
    AIPlatformError,
    ForbiddenError,
    InsufficientScopeError,
    InvalidOptionError,
    MethodNotAllowedError,
    NotFoundError,
    Reason,
    ServiceUnavailableError,
    UnauthenticatedError,
)
from aiplatform_hub.services.platform.auth import READ, Principal, principal_of
from aiplatform_hub.services.platform.models import problem_of
from aiplatform_hub.services.platform.routes import Route
from aiplatform_hub.services.platform.wire import dumps

if TYPE_CHECKING:
    from aiplatform_hub.clients.hub_api import HubApiClient
    from aiplatform_hub.config import Settings
    from aiplatform_hub.factory import Factory
    from aiplatform_hub.services.platform.events import EventStream
    from aiplatform_hub.services.platform.forecast import Forecaster
    from aiplatform_hub.services.platform.rate_limit import RateLimiter
    from aiplatform_hub.services.platform.sessions import Sessions
    from aiplatform_hub.services.platform.threads import Threads

log = logging.getLogger(__name__)
T = TypeVar("T")

HUB_UNAVAILABLE = "JupyterHub does not answer. Running servers go on; try again in a minute."
SAFE_METHODS = frozenset({"GET", "HEAD"})
AUTH_CACHE_SECONDS = 30
MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The objects that every handler of this process shares."""

    settings: Settings
    factory: Factory
    hub: HubApiClient
    hub_auth: HubOAuth
    threads: Threads
    sessions: Sessions
    limiter: RateLimiter
    events: EventStream
    forecaster: Forecaster

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run blocking work in a thread, so that the event loop never waits for the database."""
        return await self.threads.run(function, *args, **kwargs)


class PlatformHandler(HubOAuthenticated, RequestHandler):
    """A request with its authenticated principal."""

    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "TRACE", "CONNECT", "QUERY")
    """More than tornado knows, so that ``prepare`` can answer the others with what is allowed."""
    principal: Principal
    """Set by ``prepare``."""

    def initialize(self) -> None:
        """Set what each response needs."""
        self.request_id = uuid.uuid4().hex[:12]
        self.is_foreign = False
        """Whether a 404 hides something that is somebody else's."""
        self.hub_auth = self.platform.hub_auth

    @property
    def platform(self) -> Platform:
        """The shared objects of this service."""
        platform: Platform = self.application.settings["platform"]
        return platform

    def set_default_headers(self) -> None:
        """Forbid caching of personal data; :class:`SecurityHeaders` adds what every answer has."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")

    async def identify(self) -> Principal | None:
        """Return who asks, or None for a missing or invalid token.

        Raises
        ------
        ForbiddenError
            If a cookie came without its XSRF token, or from another site.
        """
        header_token = self.hub_auth.get_token(self, in_cookie=False)
        token = header_token or self.hub_auth.get_token(self)
        if not token:
            self._hub_auth_user_cache = None
            return None
        if not header_token:
            self.check_same_site()
        try:
            model = await self.hub_auth.get_user(self, sync=False)
        except HTTPError as error:
            raise ServiceUnavailableError(HUB_UNAVAILABLE, retry_after_seconds=5) from error
        self._hub_auth_user_cache = model
        return principal_of(model, token, is_cookie=not header_token) if model else None

    def check_same_site(self) -> None:
        """Refuse a cookie that came without its XSRF token, and API calls of other sites.

        Raises
        ------
        ForbiddenError
            With the reason.
        """
        try:
            self.check_xsrf_cookie()
        except HTTPError as error:
            raise ForbiddenError(
                "The request carries a cookie but not its XSRF token. Reload the page, or send an API token.",
                reasons=(Reason("xsrf", "Missing or wrong _xsrf", field="_xsrf"),),
            ) from error

    def limit_rate(self, principal: Principal | None) -> None:
        """Count the request against its owner's allowance, or against the address of an unknown caller.

        Raises
        ------
        RateLimitedError
            With ``Retry-After``.
        """
        key = f"address:{self.request.remote_ip}" if principal is None else f"{principal.kind}:{principal.name}"
        self.platform.limiter.check(key, self.request.method or "GET", self.request.path)

    def audit(self, action: str, target: str, outcome: str, detail: Mapping[str, Any] | None = None) -> None:
        """Record a privileged or refused act, after the answer."""
        principal = getattr(self, "principal", None)
        actor = "unknown" if principal is None else principal.name
        self.platform.sessions.watch(self._record(actor=actor, action=action, target=target, outcome=outcome, detail=detail))

    async def _record(self, **act: Any) -> None:
        try:
            await self.platform.run(self.platform.factory.audit_trail.record, None, **act)
        except ServiceUnavailableError:
            log.exception("an act was not recorded: %s", act)

    def audit_refusal(self, error: AIPlatformError) -> None:
        """Record a refusal of what the caller may not do, or a token that is not valid."""
        has_token = "Authorization" in self.request.headers or bool(self.request.cookies)
        if isinstance(error, ForbiddenError) or self.is_foreign or (isinstance(error, UnauthenticatedError) and has_token):
            detail = {"code": error.code, "address": self.request.remote_ip or "", "request": self.request_id}
            self.audit(f"{self.request.method} {self.request.path}"[:64], self.request.path, "refused", detail)

    def on_finish(self) -> None:
        """Count the request."""
        method = self.request.method if self.request.method in metrics.METHODS else "OTHER"
        metrics.API_REQUESTS.labels(method, f"{self.get_status() // 100}xx").inc()
        metrics.API_REQUEST_SECONDS.observe(self.request.request_time())

    def error_of(self, kwargs: dict[str, Any]) -> AIPlatformError:
        """Return the error that a response has to explain."""
        error = (kwargs.get("exc_info") or sys.exc_info())[1]
        if isinstance(error, AIPlatformError):
            return error
        if isinstance(error, HTTPError):
            return from_http_error(error)
        return AIPlatformError(f"Something went wrong on our side. Tell the admin this number: {self.request_id}.")

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault with its traceback; refusals are normal."""
        if isinstance(value, (AIPlatformError, HTTPError)) and getattr(value, "status", getattr(value, "status_code", 500)) != 500:  # noqa: PLR2004
            return
        log.error("request %s failed: %s %s", self.request_id, self.request.method, self.request.path, exc_info=(typ, value, tb))

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with the status of the error itself, whoever raised it."""
        if not self._headers_written:
            error = self.error_of(kwargs)
            status_code = error.status
            self.audit_refusal(error)
        super().send_error(status_code, **kwargs)

    def set_error_headers(self, error: AIPlatformError) -> None:
        """Set the headers that belong to an error."""
        for name, value in error.headers.items():
            self.set_header(name, value)
        if error.retry_after_seconds is not None:
            self.set_header("Retry-After", str(error.retry_after_seconds))
        if error.status == UnauthenticatedError.status:
            self.set_header("WWW-Authenticate", 'Bearer realm="aiplatform"')


class ApiHandler(PlatformHandler):
    """A REST resource: JSON in, JSON or ``application/problem+json`` out."""

    def initialize(self, routes: Mapping[str, Route] = MappingProxyType({})) -> None:
        """Take the routes of this address by method."""
        super().initialize()
        self.routes = routes

    async def prepare(self) -> None:
        """Authenticate, then apply the rate limit and the route's scope.

        Raises
        ------
        AIPlatformError
            The refusal.
        """
        self.check_method()
        self.check_size()
        route = self.routes["GET" if self.request.method == "HEAD" else self.request.method or ""]
        if route.is_public:
            self.limit_rate(None)
            return
        principal = await self.identify()
        self.limit_rate(principal)
        if principal is None:
            raise UnauthenticatedError("Send a valid API token in the header 'Authorization: Bearer …', or log in.")
        self.principal = principal
        if route.scope and not any(principal.has_any(scope) for scope in (route.scope, route.other_scope) if scope):
            raise insufficient_scope(route.scope)

    def check_method(self) -> None:
        """Refuse a method that this resource does not have.

        Raises
        ------
        MethodNotAllowedError
            With ``Allow``.
        """
        allowed = sorted({*self.routes, "HEAD"} if "GET" in self.routes else self.routes)
        if self.request.method not in allowed:
            raise MethodNotAllowedError(f"Use {' or '.join(allowed)} here.", headers={"Allow": ", ".join(allowed)})

    def check_size(self) -> None:
        """Refuse a body larger than any that makes sense.

        Raises
        ------
        InvalidOptionError
            Naming the most that is read.
        """
        if len(self.request.body) > MAX_BODY_BYTES:
            message = f"The body is larger than {MAX_BODY_BYTES} bytes."
            raise InvalidOptionError(message, (Reason("invalid_option", message, field="body", limit=str(MAX_BODY_BYTES)),))

    def head(self, *args: str, **kwargs: str) -> Any:
        """Answer as ``GET`` does; tornado leaves the body out."""
        return self.get(*args, **kwargs)

    async def require(self, scope: str, user_name: str, *, server_name: str | None = None) -> None:
        """Check that the caller may act on this person, or on one server of theirs.

        Raises
        ------
        NotFoundError
            If they may not even read that person's things.
        InsufficientScopeError
            If they may read but not act.
        """
        principal = self.principal
        groups = await self._groups_of(user_name, scope)
        if principal.may(scope, user_name, server_name=server_name, groups=groups):
            return
        may_know = user_name == principal.name or principal.may(READ, user_name, server_name=server_name, groups=groups)
        self.is_foreign = not may_know
        raise insufficient_scope(f"{scope}!user={user_name}") if may_know else NotFoundError(f"There is no user “{user_name}”, or you may not know of them.")

    async def _groups_of(self, user_name: str, scope: str) -> frozenset[str]:
        """Return a person's groups, but only where the caller's scopes name groups."""
        if not any(f"{kind}!group=" in held for held in self.principal.scopes for kind in (scope, READ)):
            return frozenset()
        user = await self.platform.hub.user(user_name)
        return frozenset() if user is None else user.groups

    def check_same_site(self) -> None:
        """Refuse cookies from other sites altogether; pages of this origin send an XSRF token."""
        if self.request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise ForbiddenError("Other sites may not call this with your login.", reasons=(Reason("cross_site", "Cross-site request"),))
        super().check_same_site()

    def body_object(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object.

        Raises
        ------
        InvalidOptionError
            If it is not.
        """
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise InvalidOptionError("Send the body with 'Content-Type: application/json'.", reasons=(Reason("invalid_option", "Wrong content type"),))
        try:
            body = json.loads(self.request.body.decode())
        except (ValueError, RecursionError) as error:
            raise InvalidOptionError("The body is not valid JSON.", reasons=(Reason("invalid_option", "The body is not valid JSON"),)) from error
        if not isinstance(body, dict):
            raise InvalidOptionError("The body must be a JSON object.", reasons=(Reason("invalid_option", "The body must be a JSON object"),))
        return body

    def reply(self, value: Any, status: int = 200) -> None:
        """Answer with a value as JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ARG002 - the error knows its own
        """Answer with the error as RFC 9457 problem."""
        error = self.error_of(kwargs)
        self.set_error_headers(error)
        self.set_header("Content-Type", "application/problem+json")
        self.finish(dumps(problem_of(error, instance=self.request_id)))


class PageHandler(PlatformHandler):
    """A page: asks for login by redirect, explains errors as a page."""

    async def prepare(self) -> None:
        """Authenticate; redirect to the login when nobody is logged in."""
        principal = await self.identify()
        self.limit_rate(principal)
        if principal is None:
            if self.request.method in SAFE_METHODS:
                self.redirect(self.get_login_url())
                return
            raise UnauthenticatedError("Log in to do this.")
        if principal.is_cookie and not self.hub_auth.check_scopes(self.hub_auth.access_scopes, {"scopes": sorted(principal.scopes)}):
            raise ForbiddenError("Your account may not use the platform. Ask the admin for access.")
        self.principal = principal


class UnknownPath(ApiHandler):
    """Every address of the API that does not exist."""

    async def prepare(self) -> None:
        """Refuse, without asking who it is."""
        raise NotFoundError(f"There is nothing at {self.request.path}.")


def insufficient_scope(scope: str) -> InsufficientScopeError:
    """Return the refusal of a token without a scope."""
    message = f"This needs the scope {scope}, which your token does not have."
    return InsufficientScopeError(message, (Reason("insufficient_scope", message, field="scope", allowed=(scope,)),))


def from_http_error(error: HTTPError) -> AIPlatformError:
    """Return our error for one that tornado raised."""
    kinds: dict[int, type[AIPlatformError]] = {
        400: InvalidOptionError,
        401: UnauthenticatedError,
        403: ForbiddenError,
        404: NotFoundError,
        405: MethodNotAllowedError,
        503: ServiceUnavailableError,
    }
    kind = kinds.get(error.status_code, AIPlatformError)
    return kind(error.log_message or kind.title)
