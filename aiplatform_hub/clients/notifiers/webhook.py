"""Notices as signed JSON, posted to an address of the operator's."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import requests
from pydantic import Field

from aiplatform_hub.clients.notifiers.options import Options, checked
from aiplatform_hub.domain.notices import DeliveryError, Message, RefusedDeliveryError
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConfigurationError

SHORTEST_SECRET = 16
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_PASSING = frozenset({408, 425, 429})
"""Client errors that may be gone in a moment."""


class WebhookOptions(Options):
    """Where notices go."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$")]
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10


def make(options: Mapping[str, Any], secret: str) -> WebhookNotifier:
    """Return the notifier.

    Raises
    ------
    ConfigurationError
        If something of the options is wrong.
    """
    known = checked(WebhookOptions, "webhook", options)
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"c.AIPlatform.notifiers['webhook'] needs a secret of at least {SHORTEST_SECRET} characters to sign with: "
            "set AIPLATFORM_NOTIFIER_WEBHOOK_SECRET, or the option 'secret_file'."
        )
    return WebhookNotifier(known, secret)


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what the receiver compares with ``X-AIPlatform-Signature``: an HMAC-SHA256 of time, a full stop and body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class WebhookNotifier:
    """Posts one JSON object for each notice."""

    def __init__(self, options: WebhookOptions, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._options = options
        self._secret = secret
        self._clock = clock

    def deliver(self, message: Message) -> None:
        """Post it; a redirect is not followed, and only 2xx counts as taken.

        Raises
        ------
        DeliveryError
            If the receiver is away or does not take it.
        """
        body, timestamp = json.dumps(_plain(message)).encode(), str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "aiplatform-hub",
            "X-AIPlatform-Notification": str(message.id),
            "X-AIPlatform-Timestamp": timestamp,
            "X-AIPlatform-Signature": signature(self._secret, timestamp, body),
        }
        try:
            with (
                requests.Session() as session,
                session.post(
                    self._options.url, data=body, headers=headers, timeout=float(self._options.timeout_seconds), allow_redirects=False, stream=True
                ) as answer,  # its body is not read
            ):
                status = answer.status_code
        except requests.RequestException as error:
            raise DeliveryError(f"The receiver does not answer: {type(error).__name__}.") from error
        if _OK <= status < _REDIRECT:
            return
        if _REDIRECT <= status < _CLIENT_ERROR:
            raise RefusedDeliveryError(f"The receiver answered {status}; redirects are not followed.")
        is_final = status < _SERVER_ERROR and status not in _PASSING
        raise (RefusedDeliveryError if is_final else DeliveryError)(f"The receiver answered {status}.")


def _plain(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "at": isoformat(message.at),
        "kind": message.kind,
        "user": message.user_name,
        "allocation_id": None if message.allocation_id is None else str(message.allocation_id),
        "subject": message.subject,
        "sentences": list(message.sentences),
        "link": message.link or None,
        "detail": dict(message.detail),
    }
