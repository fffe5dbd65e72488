"""One stylesheet for every page: the hub's own, without the icon font that our pages have no icon of, and ours behind it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jupyterhub._data import DATA_FILES_PATH
from tornado.web import RequestHandler

from aiplatform_hub.web.rendering import STATIC_DIR

PARTS = ("aiplatform", "inbox", "announcements", "home", "charts", "shell")
"""Stylesheets of ours that every page has, in order. A phone far away waits for one file, not for one after the other."""
FOR_GOOD_SECONDS = 10 * 365 * 86_400
"""How long a browser may keep a file whose address names its version."""
_FONT = re.compile(r'@import\s*"[^"]*fontawesome[^"]*";')


class PageStyleHandler(RequestHandler):
    """``GET static/page.css``."""

    def initialize(self, hub_prefix: str, file: Path = Path(DATA_FILES_PATH) / "static" / "css" / "style.min.css") -> None:
        """Take where the hub has its own files."""
        self._hub_prefix = hub_prefix
        self._file = file

    def get(self) -> None:
        """Answer with the stylesheet; tornado answers that it has not changed."""
        self.clear_header("Server")
        self.set_header("Content-Type", "text/css; charset=utf-8")
        is_versioned = bool(self.get_query_argument("v", ""))
        self.set_header("Cache-Control", f"public, max-age={FOR_GOOD_SECONDS}, immutable" if is_versioned else "no-cache")
        self.finish(page_style(self._file, self._hub_prefix))

    def head(self) -> None:
        """Answer as ``GET`` does; tornado leaves the body out."""
        self.get()


@cache
def page_style(file: Path, hub_prefix: str) -> str:
    """Return the stylesheet of the hub that is installed here, where it is not a reference to the running hub's, and ours behind it.

    Parameters
    ----------
    hub_prefix
        Path of the hub, with a slash at its end.
    """
    return "\n".join((_hub_style(file, hub_prefix), *((STATIC_DIR / f"{name}.css").read_text(encoding="utf-8") for name in PARTS)))


def _hub_style(file: Path, hub_prefix: str) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError:
        return f'@import "{hub_prefix}static/css/style.min.css";'
    return _FONT.sub("", text)
