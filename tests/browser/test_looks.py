"""Every page in every state fits, is accessible and fails no script; with ``--pictures`` it is also kept as a picture."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, stop_everything
from tests.browser.looks import STAGES, Look, address_of
from tests.browser.test_every_page import ASPECTS as AUDITED
from tests.browser.test_every_page import findings, overflow

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
QUALITY = 15
TALLEST = 6000
"""Of a picture; what is below is cut off."""
ASPECTS = tuple(itertools.product((360, 1280), ("light", "dark")))
"""Of the pictures."""


class People:
    """One browser window for each person, opened when first needed."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._pages: dict[str | None, Page] = {}
        self.errors: list[str] = []

    def page(self, user: str | None) -> Page:
        """Return a person's window."""
        if user not in self._pages:
            page = self._pages[user] = self._visitor.open(user)
            page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        return self._pages[user]

    def open(self, look: Look) -> Page:
        """Return the window of a look's reader, with its page in its state."""
        page = self.page(look.user)
        page.unroute_all()
        page.set_viewport_size({"width": 1280, "height": 800})
        page.goto(address_of(self._visitor.trial, look))
        if look.act:
            look.act(page)
        return page


def settle(page: Page, width: int, theme: str) -> None:
    """Let a page be seen at a width in light or dark."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)


def faults_of(page: Page) -> list[str]:
    """Return what is wrong with a page as it is seen now."""
    return [*findings(page), *([f"{overflow(page)} px too wide"] if overflow(page) > 0 else [])]


def keep(page: Page, name: str, width: int) -> None:
    """Write a picture of the page as it is."""
    height = min(int(page.evaluate("document.documentElement.scrollHeight")), TALLEST)
    page.set_viewport_size({"width": width, "height": max(height, 400)})
    session = page.context.new_cdp_session(page)
    picture = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    session.detach()
    (PICTURES / f"{name}.webp").write_bytes(base64.b64decode(picture["data"]))


def write_index() -> None:
    """Write a page that shows all pictures, and take those away that belong to no look any more."""
    lines = ["# Pictures", "", "Each page in each state, at 360 and 1280 px, in light and dark. Made by `make pictures`.", ""]
    kept = set()
    for look in (look for stage in STAGES for look in stage.looks):
        names = [f"{look.name}-{width}-{theme}.webp" for width, theme in ASPECTS]
        kept.update(names)
        lines += [
            f"## {look.name}",
            "",
            " · ".join(f"[{name.removesuffix('.webp').removeprefix(look.name)[1:].replace('-', ' px, ')}]({name})" for name in names),
        ]
        lines += ["", f"![{look.name}]({look.name}-1280-light.webp)", ""]
    (PICTURES / "README.md").write_text("\n".join(lines))
    for picture in PICTURES.glob("*.webp"):
        if picture.name not in kept:
            picture.unlink()


@pytest.mark.timeout(1200)  # some hundred pictures
def test_every_page_in_every_state_fits_and_is_accessible(visitor: Visitor, request: pytest.FixtureRequest) -> None:
    has_pictures = request.config.getoption("--pictures", default=False)
    people = People(visitor)
    faults: dict[str, list[str]] = {}
    for stage in STAGES:
        stage.arrange(visitor)
        for look in stage.looks:
            page = people.open(look)
            for width, theme in ASPECTS if has_pictures else AUDITED:
                settle(page, width, theme)
                if (width, theme) in AUDITED and (found := faults_of(page)):
                    faults[f"{look.name} {width} {theme}"] = found
                if has_pictures:
                    keep(page, f"{look.name}-{width}-{theme}", width)
    if has_pictures:
        write_index()
    stop_everything(visitor.open("admin"))  # others want their GPUs
    assert faults == {}
    assert people.errors == []
