"""Posts that their receiver can check: signed with a secret that both know."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping

import requests

from aiplatform_hub.domain.notices import DeliveryError, RefusedDeliveryError

SHORTEST_SECRET = 16
_OK, _REDIRECT, _CLIENT_ERROR, _SERVER_ERROR = 200, 300, 400, 500
_PASSING = frozenset({408, 425, 429})
"""Client errors that may be gone in a moment."""


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return what the receiver compares with ``X-AIPlatform-Signature``: an HMAC-SHA256 of time, a full stop and body."""
    return "sha256=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class SignedPost:
    """Posts JSON to one address."""

    def __init__(self, url: str, secret: str, *, timeout_seconds: float = 10, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._secret = secret
        self._timeout_seconds = float(timeout_seconds)
        self._clock = clock

    def send(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Post it; a redirect is not followed, and only 2xx counts as taken.

        Raises
        ------
        DeliveryError
            If the receiver is away or does not take it.
        """
        timestamp = str(int(self._clock()))
        signed = {
            "Content-Type": "application/json",
            "User-Agent": "aiplatform-hub",
            "X-AIPlatform-Timestamp": timestamp,
            "X-AIPlatform-Signature": signature(self._secret, timestamp, body),
            **headers,
        }
        try:
            with (
                requests.Session() as session,
                session.post(
                    self._url, data=body, headers=signed, timeout=self._timeout_seconds, allow_redirects=False, stream=True
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
