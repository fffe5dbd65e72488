"""What is wrong with the catalogue, one line per problem, with the nearest right word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aiplatform_hub.errors import ConfigurationError, Reason

_MOST_LISTED = 24
_LONGEST_REPEATED = 64

_WORDS = {
    "missing": "is missing",
    "string_type": "must be a text; put it in quotes if it looks like a number or a truth value",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}
"""What to say for pydantic's error types; the others speak for themselves."""

_PATTERNS = {
    "default_url": "must begin with a slash",
    "image": "must be the name of a folder under images/: lower-case letters, digits and hyphens",
    "match": "must be in lower case",
    "currency": "must be three capital letters (EUR), or credits",
    "country": "must be two capital letters (DE), as in ISO 3166-1",
    "accounting_url": "must be an address without a name or password in it, for example https://books.example.org/invoices",
    "bic": "must be 8 or 11 capital letters and digits, for example COBADEFFXXX",
    "email": "must be an address such as billing@example.org",
    "number_prefix": "must be 1 to 16 capital letters, digits and hyphens, and begin with a letter",
}
"""What to say when a text does not fit the pattern of its field."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem and where it is."""

    file: Path
    line: int | None
    """From 1; None if it is about the file as a whole."""
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.text}"


def configuration_error(what: str, problems: Sequence[Problem]) -> ConfigurationError:
    """Return the error that says everything that is wrong with some files, in order of file and line.

    Parameters
    ----------
    what
        What the files are, as the sentence begins: ``The policy``.
    """
    ordered = sorted(set(problems), key=lambda problem: (str(problem.file), problem.line or 0, problem.text))
    reasons = tuple(Reason(code=ConfigurationError.code, message=str(problem)) for problem in ordered)
    count = "one problem" if len(reasons) == 1 else f"{len(reasons)} problems"
    return ConfigurationError(f"{what} has {count}:\n" + "\n".join(reason.message for reason in reasons), reasons)


def repeated(value: object) -> str:
    """Return a value as a message may repeat it: short and on one line."""
    text = str(value)
    return ascii(text if len(text) <= _LONGEST_REPEATED else f"{text[:_LONGEST_REPEATED]}…") if not text.isprintable() or not text else text[:_LONGEST_REPEATED]


def unknown(what: str, value: object, known: Iterable[str]) -> str:
    """Say that a word is not known, with the nearest one that is, or all of them if they are few."""
    names = sorted(known)
    near = get_close_matches(str(value)[:_LONGEST_REPEATED], names, n=1)
    if near:
        return f"unknown {what} {repeated(value)}; did you mean {near[0]}?"
    if names and len(names) <= _MOST_LISTED:
        return f"unknown {what} {repeated(value)}; known: {', '.join(names)}"
    return f"unknown {what} {repeated(value)}"


def wording(error: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Return the sentence for one pydantic error.

    Parameters
    ----------
    error
        One item of ``ValidationError.errors()``.
    keys
        Keys that are right in the mapping where the error is.
    """
    kind, location = error["type"], [str(part) for part in error["loc"]]
    words = [part for part in location if not part.isdigit()]
    name = ".".join(location)
    if kind == "extra_forbidden":
        return unknown("key", location[-1], keys)
    if kind == "value_error":
        text = str(error["ctx"]["error"])
        return f"{name}: {text}" if name else text
    if kind == "string_pattern_mismatch":
        return f"{name} {_PATTERNS.get(words[-1], 'is not written as it must be')}"
    sentence = _WORDS.get(kind)
    if sentence is None:
        message = error["msg"]
        return f"{name}: {message[0].lower()}{message[1:]}"
    return f"{name} {sentence}" if name else f"the entry {sentence}"
