"""Golden pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[1] / "data" / "pages"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-test-data", action="store_true", help="rewrite the golden files")


@pytest.fixture
def same_as_golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a page with its golden file, or rewrite the file."""

    def compare(name: str, html: str) -> None:
        path = PAGES / f"{name}.html"
        text = "\n".join(line.rstrip() for line in html.splitlines() if line.strip()) + "\n"
        if request.config.getoption("--update-test-data", default=False):
            path.write_text(text)
        assert text == path.read_text()

    return compare
