"""The page of building blocks shows every macro and every tone that the stylesheet knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from jinja2 import nodes

from aiplatform_hub.web.rendering import HUB_TEMPLATES_DIR, STATIC_DIR, WEB_DIR, environment, render
from aiplatform_hub.web.view_models import showcase as view
from tests.web.samples import NOW, PATHS, frame

Macro = tuple[str, str]
"""File and name."""

FILES = ("components.html", "release.html", "aiplatform_choices.html")
"""Files of building blocks: whoever adds one adds it here, and shows its macros on the page."""
TONES = ("badge", "alert", "activity", "choice__note", "inbox__entry")


def shown() -> str:
    page = view.showcase(NOW, PATHS)
    return render("showcase.html", frame(""), page=page, badges=view.BADGES, alerts=view.ALERTS, buttons=view.BUTTONS, bars=view.BARS)


def parsed(name: str) -> nodes.Template:
    folder = HUB_TEMPLATES_DIR if name.startswith("aiplatform_") else WEB_DIR / "pages"
    return environment().parse((folder / name).read_text())


def calls(tree: nodes.Node, file: str, imports: dict[str, str]) -> Iterator[Macro]:
    """Return the macros that a piece of a page template calls."""
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and isinstance(call.node.node, nodes.Name):
            if call.node.node.name in imports:
                yield imports[call.node.node.name], call.node.attr
        elif isinstance(call.node, nodes.Name):
            yield file, call.node.name


def imports_of(tree: nodes.Template) -> dict[str, str]:
    return {each.target: each.template.value for each in tree.find_all(nodes.Import) if isinstance(each.template, nodes.Const)}


def reached(file: str) -> set[Macro]:
    """Return the macros that a page calls, and those that these call."""
    found: set[Macro] = set()
    tree = parsed(file)
    waiting = list(calls(tree, file, imports_of(tree)))
    while waiting:
        macro = waiting.pop()
        if macro in found:
            continue
        found.add(macro)
        inside = parsed(macro[0])
        body = next((each for each in inside.find_all(nodes.Macro) if each.name == macro[1]), None)
        if body is not None:
            waiting.extend(calls(body, macro[0], imports_of(inside)))
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_building_block_is_shown(file: str) -> None:
    macros = {(file, macro.name) for macro in parsed(file).find_all(nodes.Macro)}
    assert macros - reached("showcase.html") == set(), "show it on showcase.html with an example in view_models/showcase.py"


@pytest.mark.parametrize("block", TONES)
def test_every_tone_of_the_stylesheet_is_shown(block: str) -> None:
    styles = "".join(path.read_text() for path in STATIC_DIR.glob("*.css"))
    tones = set(re.findall(rf"\.(ap-{block}--\w+)", styles))
    assert tones
    assert {tone for tone in tones if not re.search(rf'class="[^"]*\b{tone}\b', shown())} == set()
