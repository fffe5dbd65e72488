"""The headers that every answer of ours carries, the hub's among them, and the nonces of the hub's own scripts.

The platform's pages have no script of their own in them, so their policy names files alone. The hub's page templates
do: whatever stands as ``<script>`` or ``<style>`` in the *source* of a page template gets the nonce of its answer,
and nothing that a value brings along does.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from jinja2 import Environment
from jinja2.ext import Extension

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Of the platform's pages: only files of this origin; no inline script or style runs, whatever a name contains."""
NOTHING_RUNS = "default-src 'none'; base-uri 'none'"
DATA_POLICY = f"{NOTHING_RUNS}; frame-ancestors 'none'"
"""Of what is no page: data, files, redirects, refusals."""
WORKER_POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
"""Of the service worker, which has a policy of its own."""
ALWAYS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
CSP = "Content-Security-Policy"

_STATES_WHAT_RUNS = re.compile(r"(?:^|;)\s*(?:default-src|script-src)\s")
_TAG = re.compile(r"<(script|style)\b")
_MAKES_STYLES = "admin-react.js"
"""The hub's own admin page: its program adds style sheets without a nonce."""


@dataclass(slots=True)
class Nonce:
    """The nonce of one answer."""

    value: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    is_used: bool = False
    """Whether a page template printed it: then the answer is one of the hub's pages."""
    makes_styles: bool = False
    """Whether a program of the page adds style sheets."""


_NONCE: ContextVar[Nonce | None] = ContextVar("nonce", default=None)


def csp_nonce(*, makes_styles: bool = False) -> str:
    """Return the nonce of the answer that is being made; empty outside of one."""
    nonce = _NONCE.get()
    if nonce is None:
        return ""
    nonce.is_used = True
    nonce.makes_styles |= makes_styles
    return nonce.value


def hub_page_policy(nonce: str, *, makes_styles: bool = False) -> str:
    """Return the policy of one of the hub's pages: files of this origin, and what the page template itself holds.

    Style attributes are allowed, because the stock pages have some. Where forms lead is not restricted: a login, or
    the consent to a service, may lead to another host.
    """
    styles = "'unsafe-inline'" if makes_styles else f"'nonce-{nonce}'"
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' {styles}; style-src-attr 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'"
    )


class NonceExtension(Extension):
    """Gives the scripts and styles of page templates their nonce."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["csp_nonce"] = csp_nonce

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002 - Jinja's
        """Return the source of a page template with nonces in it."""
        call = "csp_nonce(makes_styles=True)" if _MAKES_STYLES in source else "csp_nonce()"
        return _TAG.sub(rf'<\1 nonce="{{{{ {call} }}}}"', source)


class SecurityHeaders:
    """A transform of tornado's: completes the headers of every answer, also of static files, redirects and errors.

    Its instance is made before its request is handled, in the context in which that happens.
    """

    def __init__(self, request: object) -> None:  # noqa: ARG002 - tornado's
        self._nonce = Nonce()
        _NONCE.set(self._nonce)

    def transform_first_chunk(
        self,
        status_code: int,
        headers: MutableMapping[str, str],
        chunk: bytes,
        finishing: bool,  # noqa: ARG002 - tornado's
    ) -> tuple[int, MutableMapping[str, str], bytes]:
        """Add what is missing; what a handler, or the operator, stated stays."""
        for name, value in ALWAYS.items():
            headers.setdefault(name, value)
        stated = headers.get(CSP, "")
        if not _STATES_WHAT_RUNS.search(stated):
            is_text = bool(chunk) and headers.get("Content-Type", "").startswith("text/html")
            headers[CSP] = "; ".join(part for part in (stated, self._policy(stated, is_text=is_text)) if part)
        return status_code, headers, chunk

    def _policy(self, stated: str, *, is_text: bool) -> str:
        if self._nonce.is_used:
            return hub_page_policy(self._nonce.value, makes_styles=self._nonce.makes_styles)
        if not stated:
            return DATA_POLICY
        return "" if is_text else NOTHING_RUNS  # HTML without our nonce is a page of somebody else's handler

    def transform_chunk(self, chunk: bytes, finishing: bool) -> bytes:  # noqa: ARG002 - tornado's
        """Leave the rest as it is."""
        return chunk
