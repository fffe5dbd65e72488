"""The key by which push services know this hub (VAPID, RFC 8292): a number on the curve P-256."""

from __future__ import annotations

import binascii
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from aiplatform_hub.errors import ConfigurationError

_KEY_BYTES = 32
SECRET_NAME = "vapid-key"  # noqa: S105 - a file's name


class VapidKey:
    """A private key and what browsers get of it.

    Parameters
    ----------
    text
        32 bytes in base64 or base64url.

    Raises
    ------
    ConfigurationError
        If it is no such key.
    """

    def __init__(self, text: str) -> None:
        try:
            raw = urlsafe_b64decode(text.strip().replace("+", "-").replace("/", "_").rstrip("=") + "=")
            self._private = ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1())
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != _KEY_BYTES:
            raise ConfigurationError("The secret of the notifier 'webpush' must be 32 random bytes in base64: `openssl rand -base64 32` makes one.")
        self.private = encoded(raw)
        """The private key, base64url, as pywebpush takes it."""

    @cached_property
    def public(self) -> str:
        """The public key, base64url, as browsers take it."""
        return encoded(self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def encoded(raw: bytes) -> str:
    """Return bytes in base64url without padding."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def kept_key(file: Path) -> VapidKey:
    """Return the key of a file; the first who asks makes it. It stays, because a browser that was switched on knows it."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        mine = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(encoded(secrets.token_bytes(_KEY_BYTES)).encode())
                opened.flush()
                os.fsync(opened.fileno())
            with suppress(FileExistsError):  # another process was faster: its key counts
                os.link(mine, file)
        finally:
            mine.unlink()
    return VapidKey(file.read_text())
