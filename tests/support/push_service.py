"""A push service and its browsers: takes what RFC 8030 posts, decrypts it as a browser does (RFC 8291), checks who sent it (RFC 8292)."""

from __future__ import annotations

import json
import secrets
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _derived(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(secret)


@dataclass
class PushBrowser:
    """One browser's subscription, with the keys that it keeps to itself."""

    origin: str
    path: str = field(default_factory=lambda: f"/{secrets.token_hex(12)}")
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def point(self) -> bytes:
        return self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def endpoint(self) -> str:
        return f"{self.origin}{self.path}"

    def as_json(self) -> dict[str, Any]:
        """Return what ``PushSubscription.toJSON()`` gives."""
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": {"p256dh": encoded(self.point), "auth": encoded(self.auth)}}

    def decrypt(self, body: bytes) -> bytes:
        salt, length = body[:16], body[20]
        sender, text = body[21 : 21 + length], body[21 + length :]
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender))
        secret = _derived(self.auth, shared, b"WebPush: info\0" + self.point + sender, 32)
        key = _derived(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
        nonce = _derived(salt, secret, b"Content-Encoding: nonce\0", 12)
        return AESGCM(key).decrypt(nonce, text, None).rstrip(b"\0")[:-1]


@dataclass(frozen=True)
class Pushed:
    """What arrived for a browser."""

    browser: PushBrowser
    message: dict[str, Any]
    headers: dict[str, str]
    claims: dict[str, Any]
    key: str
    """Public key of who sent it, as the browser subscribed with it."""


def verified(authorization: str) -> tuple[dict[str, Any], str]:
    """Return claims and key of a VAPID header whose signature is right."""
    fields = dict(part.strip().split("=", 1) for part in authorization.removeprefix("vapid ").split(","))
    head, claims, signature = fields["t"].split(".")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(fields["k"]))
    raw = decoded(signature)
    public.verify(encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])), f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))
    return json.loads(decoded(claims)), fields["k"]


class PushService:
    """Listens on a port of this machine until :meth:`close`."""

    def __init__(self, port: int = 0) -> None:
        self.browsers: dict[str, PushBrowser] = {}
        self.pushed: list[Pushed] = []
        self.statuses: dict[str, int] = {}
        """What is answered for a browser's path instead of taking what comes."""
        self.requests = 0
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                service.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                browser = service.browsers.get(self.path)
                status = service.statuses.get(self.path, 201 if browser else 404)
                if status == 201 and browser:
                    claims, key = verified(self.headers["Authorization"])
                    message = json.loads(browser.decrypt(body))
                    service.pushed.append(Pushed(browser, message, {name.lower(): value for name, value in self.headers.items()}, claims, key))
                self.send_response(status)
                if status in {301, 307}:
                    self.send_header("Location", f"{service.origin}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def browser(self) -> PushBrowser:
        """Return a new browser that this service knows."""
        made = PushBrowser(self.origin)
        self.browsers[made.path] = made
        return made

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
