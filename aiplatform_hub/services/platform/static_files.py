"""Stylesheets and scripts on their way to the browser: compressed, unlike pages, which hold a token beside what somebody else may choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tornado.web import GZipContentEncoding

if TYPE_CHECKING:
    from tornado.httputil import HTTPServerRequest


def static_compression(prefix: str) -> Callable[[HTTPServerRequest], GZipContentEncoding]:
    """Return a transform of tornado's that compresses what is below a path, for browsers that take it; parts of files stay as they are.

    Parameters
    ----------
    prefix
        Path with a slash at its end.
    """

    class StaticCompression(GZipContentEncoding):
        def __init__(self, request: HTTPServerRequest) -> None:
            super().__init__(request)
            self._gzipping = self._gzipping and request.path.startswith(prefix) and "Range" not in request.headers

    return StaticCompression
