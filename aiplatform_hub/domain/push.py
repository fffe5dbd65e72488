"""Browsers that asked to be told by their maker's push service, and what they are told. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from aiplatform_hub.domain.notices import Message, NoticeKind

WEB_PUSH = "webpush"
"""Name of the notifier of browsers."""
PUSH_SERVICES = (
    "https://fcm.googleapis.com",
    "https://updates.push.services.mozilla.com",
    "https://*.push.apple.com",
    "https://*.notify.windows.com",
)
"""Origins of the push services of Chrome and its kin, Firefox, Safari and Edge. A star stands for one or more names."""
LONGEST_ENDPOINT = 1024
MOST_BROWSERS = 20
"""Browsers that one person may have."""
KEPT_FOR = timedelta(days=1)
"""How long a push service keeps what says no end of its own."""
_POINT_BYTES, _SECRET_BYTES = 65, 16
_UNCOMPRESSED = 4
_URGENT = frozenset({NoticeKind.TURN_CAME.value, NoticeKind.RELEASE_WARNING.value, NoticeKind.INTEREST_EXPIRES.value})
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+={0,2}")
_BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class PushSubscription:
    """One browser of one person. Instants are aware UTC."""

    id: UUID
    user_name: str
    endpoint: str
    """Address at its push service. Whoever knows it can write to the browser: it is never shown."""
    p256dh: str
    """The browser's public key, base64url."""
    auth: str
    """The browser's secret for the encryption, base64url."""
    browser: str
    """Such as ``Firefox on Linux``."""
    created_at: datetime
    delivered_at: datetime | None = None
    """When something was last passed on."""


class Subscriptions(Protocol):
    """What a notifier knows of browsers."""

    def of(self, user_name: str) -> tuple[PushSubscription, ...]:
        """Return a person's browsers."""

    def delivered(self, subscription: PushSubscription) -> None:
        """Note that something was passed on."""

    def gone(self, subscription: PushSubscription) -> None:
        """Forget a browser that its push service does not know any more."""


def is_push_service(endpoint: str, services: Collection[str] = PUSH_SERVICES) -> bool:
    """Whether an address is one of a known push service: the keeper writes to no other, whatever a browser claims."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None or not parts.hostname or len(endpoint) > LONGEST_ENDPOINT:
        return False
    if not endpoint.isascii() or any(character <= " " or character == "\\" for character in endpoint):
        return False
    origin = f"{parts.scheme}://{parts.hostname}" + (f":{port}" if port is not None else "")
    return any(_covers(service, origin) for service in services)


def _covers(service: str, origin: str) -> bool:
    pattern = re.escape(service.rstrip("/")).replace(r"\*", r"[a-z0-9-]+(\.[a-z0-9-]+)*")
    return re.fullmatch(pattern, origin) is not None


def fault_of_keys(p256dh: str, auth: str) -> str | None:
    """Return what is wrong with a browser's keys as one sentence; None if nothing is."""
    point, secret = _decoded(p256dh), _decoded(auth)
    if point is None or len(point) != _POINT_BYTES or point[0] != _UNCOMPRESSED:
        return "keys.p256dh must be a public key on the curve P-256, 65 bytes in base64url, as PushSubscription.toJSON() gives it."
    if secret is None or len(secret) != _SECRET_BYTES:
        return "keys.auth must be 16 bytes in base64url, as PushSubscription.toJSON() gives it."
    return None


def _decoded(text: str) -> bytes | None:
    if not _BASE64URL.fullmatch(text):
        return None
    try:
        return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        return None


def browser_of(user_agent: str) -> str:
    """Return a browser and its system in words, such as ``Firefox on Linux``."""
    browser = next((name for sign, name in _BROWSERS if sign in user_agent), "A browser")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "")
    return f"{browser} on {system}" if system else browser


def payload_of(message: Message) -> Mapping[str, Any]:
    """Return what the service worker shows of a notice. The id keeps a repetition from being shown twice."""
    return {
        "id": message.id,
        "subject": message.subject,
        "sentences": list(message.sentences),
        "session": None if message.allocation_id is None else str(message.allocation_id),
        "is_urgent": message.kind in _URGENT,
    }


def kept_seconds(message: Message, now: datetime) -> int:
    """Return how long a push service keeps a notice for a browser that is off, in seconds: not longer than what it says is true."""
    until = message.detail.get("until")
    end = now + KEPT_FOR if until is None else min(now + KEPT_FOR, datetime.fromisoformat(until))
    return max(0, int((end - now).total_seconds()))
