"""Login of the demo people: generated passwords, of which only hashes are kept."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from traitlets import Unicode

_N, _R, _P = 2**14, 8, 1


def hash_password(password: str) -> str:
    """Return a salted scrypt hash, as text."""
    salt = os.urandom(16)
    return f"{salt.hex()}:{_scrypt(password, salt).hex()}"


def is_password(password: str, stored: str) -> bool:
    """Whether the password has this hash. Takes the same time whatever the answer."""
    salt, _, digest = stored.partition(":")
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


_NOBODY = hash_password(os.urandom(16).hex())
"""Compared for unknown names, so that time does not tell who exists."""


class DemoAuthenticator(Authenticator):
    """Lets the people of ``aiplatform run --demo`` in."""

    passwords_file = Unicode(
        help="JSON file of scrypt hashes by user name, which `aiplatform run --demo` writes. Default: none. Example: /srv/aiplatform/secrets/demo-passwords.json",
    ).tag(config=True)

    async def authenticate(self, _handler: Any, data: dict[str, str]) -> str | None:
        """Return the name of whoever gave the right password."""
        name = data.get("username", "")
        stored = self._hashes().get(name)
        is_right = await asyncio.to_thread(is_password, data.get("password", ""), stored or _NOBODY)
        return name if stored and is_right else None

    def _hashes(self) -> dict[str, str]:
        # Read each time: new passwords must hold without a restart, and it is one small file.
        try:
            return dict(json.loads(Path(self.passwords_file).read_text()))
        except FileNotFoundError:
            return {}
