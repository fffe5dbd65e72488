"""The hub's own stylesheet, as the platform's pages want it: without the icon font that they have no icon of, compressed, and kept by browsers."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jupyterhub._data import DATA_FILES_PATH
from tornado.web import RequestHandler

FOR_GOOD_SECONDS = 10 * 365 * 86_400
"""How long a browser may keep a file whose address names its version."""
_FONT = re.compile(r'@import\s*"[^"]*fontawesome[^"]*";')


class HubStyleHandler(RequestHandler):
    """``GET static/hub.css``."""

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
        self.finish(hub_style(self._file, self._hub_prefix))

    def head(self) -> None:
        """Answer as ``GET`` does; tornado leaves the body out."""
        self.get()


@cache
def hub_style(file: Path, hub_prefix: str) -> str:
    """Return the stylesheet of the hub that is installed here; where it is not, a reference to the running hub's.

    Parameters
    ----------
    hub_prefix
        Path of the hub, with a slash at its end.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError:
        return f'@import "{hub_prefix}static/css/style.min.css";\n'
    return _FONT.sub("", text)
