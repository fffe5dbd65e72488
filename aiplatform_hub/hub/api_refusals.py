"""Answers of the Kubernetes API that refuse something, in plain words. Pure."""

from __future__ import annotations

import json
import re

from aiplatform_hub.errors import AIPlatformError, ConflictError, Reason, ServiceUnavailableError, StartFailedError

_RIGHT = re.compile(r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?')
AWAY = "The cluster's API does not answer just now; nothing was started. Try again in a few seconds."
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _INVALID, _TOO_MANY = 403, 404, 409, 422, 429
_SERVER_ERROR = 500


def api_refusal(status: int | None, body: str, what: str = "the session's pod") -> AIPlatformError:
    """Return what to tell a person of an answer of the API.

    Parameters
    ----------
    status
        HTTP status; None if there was no answer.
    body
        The answer: a ``Status`` of the API as JSON, or any text.
    what
        What was asked for, for a person.
    """
    raw = message_of(body)
    if not status or status >= _SERVER_ERROR or status == _TOO_MANY:
        return ServiceUnavailableError(AWAY, retry_after_seconds=5)
    if status == _FORBIDDEN or "denied request" in raw or "denied the request" in raw:  # policies and webhooks answer as they like
        return _forbidden(raw, what)
    if status == _NOT_FOUND and "namespaces" in raw:
        return StartFailedError("The namespace for the session does not exist. Ask an administrator to make it.")
    if status == _INVALID:
        return StartFailedError(f"The cluster refused {what} as not valid. An administrator finds the reason in the hub's log.")
    return StartFailedError(f"The cluster refused {what}. An administrator finds the reason in the hub's log.")


def message_of(body: str) -> str:
    """Return the API's own words."""
    try:
        told = json.loads(body)
    except ValueError:
        return body
    return str(told.get("message", body)) if isinstance(told, dict) else body


def _forbidden(raw: str, what: str) -> AIPlatformError:
    right = _RIGHT.search(raw)
    if right is not None:
        where = f" in the namespace {right['namespace']}" if right["namespace"] else ""
        rule = f'apiGroups ["{right["group"]}"], resources ["{right["resource"]}"], verbs ["{right["verb"]}"]'
        return StartFailedError(f"The hub may not {right['verb']} {right['resource']}{where}. Its administrator needs to add the rule: {rule}.")
    if "exceeded quota" in raw:
        sentence = "The resource quota of the namespace has no room for this session. Stop something, choose less, or ask an administrator to raise it."
        return ConflictError(sentence, (Reason(code=ConflictError.code, message=sentence, remedies=("Stop a session.", "Choose less.")),))
    if "PodSecurity" in raw:
        return StartFailedError(
            "The cluster refused the session's pod because it breaks the Pod Security rules of its namespace. "
            "An administrator needs to change the pod's settings or the namespace."
        )
    if "being terminated" in raw:
        return ConflictError("The namespace of your sessions is being removed. Try again in a minute.")
    if "LimitRanger" in raw or "maximum" in raw or "minimum" in raw:
        return ConflictError("The limits of the namespace do not allow a session of this size. Choose less, or ask an administrator to change them.")
    return StartFailedError(f"A rule of the cluster refused {what}. An administrator finds the reason in the hub's log.")
