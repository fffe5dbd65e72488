"""Notices as signed JSON, posted to an address of the operator's."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from aiplatform_hub.clients.notifiers.options import Options, checked
from aiplatform_hub.clients.signed_post import SHORTEST_SECRET, SignedPost
from aiplatform_hub.domain.notices import Message
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import ConfigurationError


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


class WebhookNotifier:
    """Posts one JSON object for each notice."""

    def __init__(self, options: WebhookOptions, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._post = SignedPost(options.url, secret, timeout_seconds=options.timeout_seconds, clock=clock)

    def deliver(self, message: Message) -> None:
        """Post it; a redirect is not followed, and only 2xx counts as taken.

        Raises
        ------
        DeliveryError
            If the receiver is away or does not take it.
        """
        self._post.send(json.dumps(_plain(message)).encode(), {"X-AIPlatform-Notification": str(message.id)})


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
