"""YAML files as plain values that remember their lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aiplatform_hub.catalog.problems import Problem, repeated

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""

_MAX_BYTES = 4 * 1024**2
_PLAIN_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")}
_TEXT_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "timestamp", "value", "merge")}


@dataclass(slots=True)
class Document:
    """One file: its top-level mapping, where each value stands, and what is wrong with its YAML."""

    file: Path
    content: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    """Line, from 1, of each key and list item."""
    problems: list[Problem] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line of a path, or of its nearest parent that is in the file."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None

    def add_problem(self, path: KeyPath, text: str) -> None:
        """Note that something is wrong at a path."""
        self.problems.append(Problem(self.file, self.line_of(path), text))


def read_document(file: Path) -> Document:
    """Read one file; whatever is wrong with it stands in ``problems``."""
    document = Document(file)
    try:
        if file.stat().st_size > _MAX_BYTES:
            document.add_problem((), "the file is larger than 4 MiB")
            return document
        data = file.read_bytes()
    except OSError as error:
        document.add_problem((), f"cannot be read: {error.strerror or error}")
        return document
    return document_of(data, file)


def document_of(data: bytes, file: Path) -> Document:
    """Return what bytes say that need not be in a file; whatever is wrong with them stands in ``problems``.

    Parameters
    ----------
    file
        What the problems call it.
    """
    document = Document(file)
    try:
        text = data.decode("utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        document.problems.append(Problem(file, line, "is not UTF-8 text; save the file as UTF-8"))
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(file, error))
    except yaml.reader.ReaderError as error:
        document.problems.append(Problem(file, text[: error.position].count("\n") + 1, f"not valid YAML: {error.reason}"))
    except RecursionError:
        document.add_problem((), "the values are nested too deeply")
    else:
        _fill(document, root)
    return document


def _syntax_problem(file: Path, error: yaml.MarkedYAMLError) -> Problem:
    mark, begin = error.problem_mark, error.context_mark
    started = f", {error.context} that begins on line {begin.line + 1}" if error.context and begin else ""
    return Problem(file, mark.line + 1 if mark else None, f"not valid YAML: {error.problem}{started}")


def _fill(document: Document, root: yaml.Node | None) -> None:
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag.endswith(":null")):
        return
    if not isinstance(root, yaml.MappingNode):
        document.problems.append(Problem(document.file, root.start_mark.line + 1, "the file must be a mapping from names to entries"))
        return
    document.content = _Builder(document).mapping(root, ())


class _Builder:
    """Turns nodes into plain values; aliases are refused, because they multiply without limit."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.seen: set[int] = set()
        self.constructor = yaml.SafeLoader("")

    def value(self, node: yaml.Node, path: KeyPath) -> Any:
        if id(node) in self.seen:
            self._problem(node, "aliases (*name) are not supported; write the value out")
            return None
        self.seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path)
        return self._scalar(node)

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in _TEXT_TAGS:
                self._problem(key_node, "a key must be a text; put it in quotes")
                continue
            key, line = key_node.value, key_node.start_mark.line + 1
            if key in result:
                self._problem(key_node, f"{repeated(key)} stands twice; first on line {self.document.lines[(*path, key)]}")
                continue
            self.document.lines[*path, key] = line
            result[key] = self.value(value_node, (*path, key))
        return result

    def _sequence(self, node: yaml.SequenceNode, path: KeyPath) -> list[Any]:
        result = []
        for position, item in enumerate(node.value):
            self.document.lines[*path, position] = item.start_mark.line + 1
            result.append(self.value(item, (*path, position)))
        return result

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        if node.tag in _PLAIN_TAGS:
            try:
                return self.constructor.construct_object(node)
            except (ValueError, OverflowError, yaml.YAMLError):
                pass
        self._problem(node, f"the value {repeated(node.value)} is not supported")
        return None

    def _problem(self, node: yaml.Node, text: str) -> None:
        self.document.problems.append(Problem(self.document.file, node.start_mark.line + 1, text))
