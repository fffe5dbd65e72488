"""The documentation is tested like code: it is generated where it can be, and what it names exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from types import ModuleType

import click
import pytest

from aiplatform_hub import metrics
from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.cli.main import COMMANDS, main
from aiplatform_hub.hub.traits import AIPlatform

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SOURCE = re.compile(r"\b((?:tests|benchmarks)/[\w./-]*\w/?)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
SHELL = ("", "sh", "bash", "console")
KNOWN_WORDS = {"git", "cd", "make", "export", "eval", "curl", "python", "python3"}
"""What a shell line of the README may begin with beside our own command."""


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("name", GENERATOR.PAGES)
def test_checked_in_reference_is_what_the_code_gives(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == GENERATOR.PAGES[name](), "run: python docs/generate.py"


def test_reference_holds_nothing_else() -> None:
    assert {path.name for path in (DOCS / "reference").iterdir()} == {*GENERATOR.PAGES, "helm-values.md"}  # tests/deployment compares that one


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file) if file else page
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            assert anchor in {_anchor(heading) for heading in HEADING.findall(found.read_text())}, target


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_named_test_and_benchmark_exists(page: Path) -> None:
    assert not [name for name in SOURCE.findall(page.read_text()) if not (ROOT / name).exists()]


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(index)}
    assert {page.resolve() for page in DOCS.rglob("*.md")} - linked == {(DOCS / "README.md").resolve()}


def test_every_command_is_documented() -> None:
    text = (DOCS / "reference" / "cli.md").read_text()
    assert [name for name in COMMANDS if f"### `aiplatform {name}`" not in text] == []
    assert set(GENERATOR.OPERATORS) <= set(COMMANDS)


def test_every_command_and_option_has_help() -> None:
    context = click.Context(main)
    missing = []
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        missing += [name] * (not command.help)
        missing += [f"{name} {option.name}" for option in command.params if isinstance(option, click.Option) and not option.help]
    assert missing == []


def test_every_trait_is_documented_with_unit_default_and_example() -> None:
    text = (DOCS / "reference" / "traits.md").read_text()
    for name, trait in AIPlatform.class_own_traits(config=True).items():
        assert f"## `c.AIPlatform.{name}`" in text
        assert "Default: " in trait.help, name
        assert "Example: " in trait.help, name


def test_every_metric_is_documented() -> None:
    text = (DOCS / "reference" / "metrics.md").read_text()
    names = {family.name for metric in metrics.own_metrics() for family in metric.collect()}
    assert names
    assert [name for name in names if name not in text] == []


def test_every_audit_event_is_documented_and_exists() -> None:
    assert GENERATOR.actions_in_code() == set(GENERATOR.AUDIT_ACTIONS)


def test_images_of_the_catalogue_are_the_folders_of_images() -> None:
    templates = load_catalog().environment_templates.values()
    named = {name for template in templates for name in (template.image, template.container_image) if name}
    assert named == {path.name for path in (ROOT / "images").iterdir() if path.is_dir()} - {"hub", "proxy"}, "hub and proxy are the platform's own"


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lines = [line for kind, block in FENCE.findall((ROOT / "README.md").read_text()) if kind in SHELL for line in block.splitlines() if line.strip()]
    assert lines
    for line in lines:
        for command in re.split(r"&&|\|", line.split(" #")[0]):
            _check_command(shlex.split(command), targets, line)


def _check_command(words: list[str], targets: set[str], line: str) -> None:
    first = Path(words[0]).name
    if first == "aiplatform":
        assert words[1] in COMMANDS, line
    elif first == "make":
        assert [word for word in words[1:] if "=" not in word and word not in targets] == [], line
    else:
        assert first in KNOWN_WORDS, line


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_aiplatform_commands_in_the_docs_exist(page: Path) -> None:
    for command in re.findall(r"(?:^|[`(\s/])aiplatform ([a-z][a-z-]+)(?=[ `\n])", page.read_text()):
        assert command in COMMANDS, command
