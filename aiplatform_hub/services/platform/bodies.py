"""Bodies and queries that came in: strictly read, every fault named."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from aiplatform_hub.domain.options import OPTION_KEYS
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.services.platform.auth import Principal
from aiplatform_hub.services.platform.models import DecisionRequest
from aiplatform_hub.services.platform.wire import Input

T = TypeVar("T", bound=Input)
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_REASONS = 20

SERVER_NAME_RULE = "A server's name has 1 to 30 characters: small letters, digits and, between them, hyphens."
"""What is said of a name that is no slug."""


def invalid(field: str, message: str, allowed: tuple[str, ...] = ()) -> InvalidOptionError:
    """Return the refusal of one value."""
    return InvalidOptionError(message, (Reason("invalid_option", message, field=field, allowed=allowed),))


def read_body(model: type[T], body: Mapping[str, Any]) -> T:
    """Return the body as its model. The launch options themselves are judged by ``domain.options``.

    Raises
    ------
    InvalidOptionError
        Naming each field at fault.
    """
    outer = {name: value for name, value in body.items() if name not in OPTION_KEYS}
    known = {name: field for name, field in model.model_fields.items() if name not in OPTION_KEYS}
    checked = _validated(model, {"environment_template": "", **outer}, (*OPTION_KEYS, *known))
    options = {name: value for name, value in body.items() if name in OPTION_KEYS}
    return model.model_construct(_fields_set=checked.model_fields_set, **{name: getattr(checked, name) for name in known}, **options)


def read_change(model: type[T], body: Mapping[str, Any]) -> T:
    """Return a body that changes something as its model: nothing but the model's own fields.

    Raises
    ------
    InvalidOptionError
        Naming each field at fault.
    """
    return _validated(model, body, tuple(model.model_fields))


def _validated(model: type[T], body: Mapping[str, Any], known: tuple[str, ...]) -> T:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        reasons = tuple(_reason(fault, known) for fault in error.errors(include_url=False, include_input=False)[:_MAX_REASONS])
        raise InvalidOptionError(" ".join(reason.message for reason in reasons), reasons) from error


def _reason(fault: Mapping[str, Any], known: tuple[str, ...]) -> Reason:
    name = ".".join(str(part) for part in fault["loc"])
    is_plain = all(part.isidentifier() or part.isdigit() for part in name.split("."))
    field = name if is_plain and len(name) <= 64 else "body"  # noqa: PLR2004
    allowed: tuple[str, ...] = ()
    if fault["type"] == "extra_forbidden":
        allowed = known if len(fault["loc"]) == 1 else ()
    elif fault["type"] == "literal_error":
        allowed = tuple(part.strip("' ") for part in str(fault.get("ctx", {}).get("expected", "")).split("or"))
    text = f"{field}: {fault['msg']}."
    if fault["type"] == "extra_forbidden":
        text = f"There is no option {field}; the options are {', '.join(allowed)}." if allowed else f"There is no option {field}."
    elif (field, fault["type"]) == ("server_name", "string_pattern_mismatch"):
        text = SERVER_NAME_RULE
    return Reason("invalid_option", text, field=field, allowed=allowed)


def options_in(body: DecisionRequest) -> dict[str, object]:
    """Return the launch options of a body, exactly as they were sent; ``null`` means absent."""
    sent = body.__dict__
    return {name: sent[name] for name in OPTION_KEYS if sent.get(name) is not None}


def target_user(body: DecisionRequest, principal: Principal) -> str:
    """Return for whom a launch is: the one named, else the caller.

    Raises
    ------
    InvalidOptionError
        If a service names nobody.
    """
    if body.user is not None:
        return body.user
    if not principal.is_user:
        raise invalid("user", "A service must say for whom: user is missing.")
    return principal.name


def instant(text: str, field: str) -> datetime:
    """Return the instant of an ISO 8601 text; a date alone is its midnight, UTC.

    Raises
    ------
    InvalidOptionError
        If it is not one, or has no time zone.
    """
    message = f"{field} must be a UTC instant such as 2026-11-01T00:00:00Z, or a date."
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise invalid(field, message) from error
    if moment.tzinfo is None:
        if len(text) > len("2026-11-01"):
            raise invalid(field, message)
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise invalid(field, message) from error
    if moment < _UNIX_EPOCH:
        raise invalid(field, f"{field} must not be before 1970.")
    return moment
