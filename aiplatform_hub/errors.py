"""Errors whose messages are safe to show to users.

Every refusal carries a stable ``code``, an HTTP ``status`` and a sentence. Web
handlers turn them into ``application/problem+json``, the spawner into the hub's
spawn error, the command line into an exit code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

TRY_LATER = "try_later"
QUEUE = "queue"
"""Codes of remedies."""
_FOR_REFUSED = frozenset({TRY_LATER, QUEUE})


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a refusal, precise enough to act upon."""

    code: str
    """Stable code, for example ``quota_in_use``."""
    message: str
    """A whole sentence for a person."""
    dimension: str | None = None
    """The dimension of the limit (``gpus``, ``memory_bytes``, …), if it is about one."""
    scope: str | None = None
    """Whose limit: ``user:alice``, ``project:vision`` or ``machine``."""
    limit: str | None = None
    """The limit as a decimal string in the dimension's unit."""
    used: str | None = None
    """What is used of it now, in the same unit."""
    requested: str | None = None
    """What the request asks for, in the same unit."""
    held_by: tuple[str, ...] = ()
    """What holds it, as the caller may know it (``train-1``; others' sessions without names)."""
    remedies: tuple[str, ...] = ()
    """What to do next, one short imperative sentence each."""
    field: str | None = None
    """The option at fault, for ``invalid_option``."""
    allowed: tuple[str, ...] = ()
    """The allowed values of that option, if they can be listed."""
    remedy_codes: tuple[str, ...] = ()
    """Stable code of each of the remedies, in the same order; empty for those that have none, and shorter where the last have none."""

    def advice(self, *, is_waiting: bool) -> tuple[str, ...]:
        """Return the remedies, without those that mean nothing to who waits already or is about to."""
        codes = (*self.remedy_codes, *("" for _ in self.remedies))
        return tuple(words for words, code in zip(self.remedies, codes, strict=False) if not (is_waiting and code in _FOR_REFUSED))


@dataclass(eq=False)
class AIPlatformError(Exception):
    """Base of all errors that may be shown to a user."""

    message: str
    reasons: tuple[Reason, ...] = ()
    retry_after_seconds: int | None = None
    headers: dict[str, str] = field(default_factory=dict)

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"

    def __str__(self) -> str:
        return self.message


class InvalidOptionError(AIPlatformError):
    """An option is unknown, of the wrong type or out of its range."""

    code = "invalid_option"
    status = 400
    title = "An option is not valid"


class UnauthenticatedError(AIPlatformError):
    """No valid token or session came with the request."""

    code = "unauthenticated"
    status = 401
    title = "Log in or send a valid token"


class ForbiddenError(AIPlatformError):
    """The caller may not do this, whatever the state of the platform."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class InsufficientScopeError(ForbiddenError):
    """The caller's token lacks the scope of the route."""

    code = "insufficient_scope"
    title = "The token lacks a scope"


class ProfileForbiddenError(ForbiddenError):
    """The caller may not use this environment template or project."""

    code = "profile_forbidden"
    title = "This environment template is not for you"


class QuotaExceededError(ForbiddenError):
    """The request is more than the limit ever allows."""

    code = "quota_exceeded"
    title = "More than your limit allows"


class BudgetExhaustedError(ForbiddenError):
    """A budget that the session would be paid from has too little left."""

    code = "budget_exhausted"
    title = "The budget is spent"


class NotFoundError(AIPlatformError):
    """There is no such thing, or the caller may not know of it."""

    code = "not_found"
    status = 404
    title = "Not found"


class MethodNotAllowedError(AIPlatformError):
    """The address exists but not with this method."""

    code = "method_not_allowed"
    status = 405
    title = "Method not allowed"


class QuotaInUseError(AIPlatformError):
    """The request fits the limit once something of the caller's ends."""

    code = "quota_in_use"
    status = 409
    title = "Your limit is in use"


class ServerExistsError(AIPlatformError):
    """A server of this name is already running or starting."""

    code = "server_exists"
    status = 409
    title = "This server is already running"


class ConflictError(AIPlatformError):
    """The thing changed or is not in a state that allows this."""

    code = "conflict"
    status = 409
    title = "Not possible in this state"


class CapacityError(AIPlatformError):
    """The machine has not enough free now."""

    code = "capacity"
    status = 429
    title = "Not enough is free right now"


class QueueFullError(AIPlatformError):
    """The caller has as many requests in the queue as one person may have."""

    code = "queue_full"
    status = 429
    title = "Too many requests in the queue"


class RateLimitedError(AIPlatformError):
    """The caller sends too many requests."""

    code = "rate_limited"
    status = 429
    title = "Too many requests"


class ServiceUnavailableError(AIPlatformError):
    """Something this depends on does not answer; nothing was changed."""

    code = "service_unavailable"
    status = 503
    title = "Not available for the moment"


class StartFailedError(AIPlatformError):
    """The server's process could not be started or ended before it answered."""

    code = "start_failed"
    status = 500
    title = "The server did not start"


class CatalogError(AIPlatformError):
    """The catalogue's files are wrong. ``problems`` are lines for the operator."""

    code = "catalog_error"
    title = "The catalogue is not valid"

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per problem: file, line, what is wrong, what would be right."""
        return tuple(reason.message for reason in self.reasons)


class ConfigurationError(AIPlatformError):
    """The installation cannot start as configured; the message says what fixes it."""

    code = "configuration_error"
    title = "The configuration is not valid"


class LedgerError(AIPlatformError):
    """The ledger was changed outside the platform."""

    code = "ledger_error"
    title = "The ledger does not verify"
