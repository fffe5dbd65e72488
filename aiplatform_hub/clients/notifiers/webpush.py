"""Notices to browsers, also to closed ones, by the push services of their makers (RFC 8030, encrypted by RFC 8291)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import requests
from pydantic import Field

from aiplatform_hub.clients.notifiers.options import Options, checked
from aiplatform_hub.clients.notifiers.vapid import VapidKey
from aiplatform_hub.domain.notices import DeliveryError, Message
from aiplatform_hub.domain.push import PUSH_SERVICES, WEB_PUSH, PushSubscription, Subscriptions, kept_seconds, payload_of
from aiplatform_hub.errors import ConfigurationError

_GONE = frozenset({404, 410})
"""What a push service answers for a browser that it does not know any more."""
_PASSING = frozenset({408, 425, 429})
_SERVER_ERROR = 500
_LOG = logging.getLogger(__name__)


class WebPushOptions(Options):
    """Who writes, and to which push services."""

    contact: Annotated[str, Field(pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://\S+)$")]
    """Where the makers of browsers reach the operator."""
    services: Annotated[tuple[str, ...], Field(min_length=1, strict=False)] = PUSH_SERVICES
    """Origins that are written to."""
    timeout_seconds: Annotated[int, Field(ge=1, le=60)] = 10


def options_of(options: Mapping[str, Any]) -> WebPushOptions:
    """Return the options as values.

    Raises
    ------
    ConfigurationError
        If something of them is wrong.
    """
    return checked(WebPushOptions, WEB_PUSH, options)


def make(options: Mapping[str, Any], secret: str) -> WebPushNotifier:
    """Return the notifier.

    Raises
    ------
    ConfigurationError
        If something of the options, or the secret, is wrong.
    """
    known = options_of(options)
    if secret:
        VapidKey(secret)
    return WebPushNotifier(known)


class WebPushNotifier:
    """Writes to every browser that a message's reader has switched on.

    What was refused for good is dropped, a browser that is gone is forgotten. Where one of several browsers could not be
    reached, all are written to again; they show a repetition in the place of what they showed.
    """

    def __init__(self, options: WebPushOptions) -> None:
        self._options = options
        self._subscriptions: Subscriptions | None = None
        self._key: Callable[[], VapidKey] | None = None

    def connect(self, subscriptions: Subscriptions, key: Callable[[], VapidKey]) -> None:
        """Say where browsers are known from, and what gives the key once something is to be sent."""
        self._subscriptions, self._key = subscriptions, key

    def deliver(self, message: Message) -> None:
        """Write to each browser.

        Raises
        ------
        DeliveryError
            If a push service is away.
        """
        if self._subscriptions is None or self._key is None:
            raise ConfigurationError("The notifier 'webpush' is not connected.")
        failures = [self._write_to(each, message, self._subscriptions, self._key()) for each in self._subscriptions.of(message.user_name)]
        if failed := [failure for failure in failures if failure]:
            raise DeliveryError(f"{len(failed)} of {len(failures)} browsers could not be reached: {failed[0]}")

    def _write_to(self, browser: PushSubscription, message: Message, subscriptions: Subscriptions, key: VapidKey) -> str:
        """Write to one browser; return why it has to be tried again, or nothing."""
        try:
            status = self._send(browser, message, key)
        except requests.RequestException as error:
            return f"its push service does not answer: {type(error).__name__}."
        except ValueError:  # a point that is not on the curve
            status = next(iter(_GONE))
        if status in _GONE:
            _LOG.info("A browser is gone and forgotten")
            subscriptions.gone(browser)
        elif status >= _SERVER_ERROR or status in _PASSING:
            return f"its push service answered {status}."
        elif status >= 300:  # noqa: PLR2004 - HTTP
            _LOG.warning("A push service refused notice %s: %s", message.id, status)
        else:
            subscriptions.delivered(browser)
        return ""

    def _send(self, browser: PushSubscription, message: Message, key: VapidKey) -> int:
        from pywebpush import WebPushException, webpush  # noqa: PLC0415 - heavy: only who sends pays for it

        payload = payload_of(message)
        with requests.Session() as session:
            session.max_redirects = 0
            try:
                answer = webpush(
                    {"endpoint": browser.endpoint, "keys": {"p256dh": browser.p256dh, "auth": browser.auth}},
                    data=json.dumps(payload),
                    vapid_private_key=key.private,
                    vapid_claims={"sub": self._options.contact},
                    ttl=kept_seconds(message, datetime.now(UTC)),
                    timeout=float(self._options.timeout_seconds),
                    headers={"Urgency": "high" if payload["is_urgent"] else "normal"},
                    requests_session=session,
                )
            except WebPushException as error:
                if error.status_code is None:
                    raise ValueError(error.message) from error
                return int(error.status_code)
        return int(answer.status_code)
