"""What browsers fetch once: compressed, kept for good where the address names a version, and in one stylesheet without the hub's icon font."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application, RequestHandler, StaticFileHandler

from aiplatform_hub.services.platform.page_style import PARTS, PageStyleHandler, page_style
from aiplatform_hub.services.platform.static_files import static_compression
from aiplatform_hub.web import rendering
from aiplatform_hub.web.rendering import STATIC_DIR

PACKED = {"Accept-Encoding": "gzip"}


class PageHandler(RequestHandler):
    """A page, which holds a token beside what somebody else may choose."""

    def get(self) -> None:
        self.finish("token " * 1000)


class StaticFilesTest(AsyncHTTPTestCase):
    """A service's static files."""

    def get_app(self) -> Application:
        handlers = [
            ("/p/static/page\\.css", PageStyleHandler, {"hub_prefix": "/hub/"}),
            ("/p/static/(.*)", StaticFileHandler, {"path": str(STATIC_DIR)}),
            ("/p/home", PageHandler),
        ]
        return Application(handlers, transforms=[static_compression("/p/static/")])

    def ask(self, path: str, **headers: str):
        return self.fetch(path, headers=headers, decompress_response=False)

    def test_files_are_compressed_for_who_takes_it(self) -> None:
        plain, packed = self.ask("/p/static/aiplatform.css?v=1"), self.ask("/p/static/aiplatform.css?v=1", **PACKED)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert gzip.decompress(packed.body) == plain.body == (STATIC_DIR / "aiplatform.css").read_bytes()
        assert len(packed.body) < len(plain.body) / 2

    def test_parts_of_files_and_pages_are_not(self) -> None:
        part = self.ask("/p/static/aiplatform.css", Range="bytes=0-4999", **PACKED)
        assert (part.code, len(part.body), part.headers.get("Content-Encoding")) == (206, 5000, None)
        assert "Content-Encoding" not in self.ask("/p/home", **PACKED).headers

    def test_the_one_stylesheet_has_no_icon_font_and_is_kept_for_good(self) -> None:
        answer = self.ask("/p/static/page.css?v=5")
        text = answer.body.decode()
        assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
        assert "immutable" in answer.headers["Cache-Control"]
        assert "fontawesome" not in text
        assert "@import" not in text
        assert "[data-bs-theme=dark]" in text
        ours = [text.index((STATIC_DIR / f"{name}.css").read_text()) for name in PARTS]
        assert ours == sorted(ours), "the hub's rules come first, ours in their order"
        again = self.ask("/p/static/page.css?v=5", **{"If-None-Match": answer.headers["Etag"]})
        assert again.code == 304
        assert self.ask("/p/static/page.css").headers["Cache-Control"] == "no-cache"
        packed = self.ask("/p/static/page.css?v=5", **PACKED)
        assert len(packed.body) < 50_000


def test_a_machine_without_the_hubs_files_refers_to_the_running_hub(tmp_path: Path) -> None:
    assert page_style(tmp_path / "none.css", "/base/hub/").startswith('@import "/base/hub/static/css/style.min.css";\n')


def test_another_file_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "STATIC_DIR", tmp_path)
    file = tmp_path / "icons" / "icon.svg"
    file.parent.mkdir()
    file.write_text("<svg/>")
    before = rendering.static_version.__wrapped__()
    assert rendering.static_version.__wrapped__() == before
    file.write_text("<svg></svg>")
    assert rendering.static_version.__wrapped__() != before
