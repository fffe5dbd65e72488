"""What single entries cannot know: whether the names they use exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiplatform_hub.catalog.documents import Document, KeyPath
from aiplatform_hub.catalog.problems import Problem, repeated, unknown
from aiplatform_hub.catalog.rate_card_model import faults_of_names
from aiplatform_hub.domain.catalog import DEFAULT_TIER, OTHER_GPU_TYPE, SIMULATED_GPU_TYPE

Entries = Mapping[str, Mapping[str, "Entry"]]
"""Entries by kind and name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a file."""

    document: Document
    name: str
    model: Any
    """Its pydantic model; None if it is not valid, which its document's problems say."""

    def problem(self, path: KeyPath, text: str) -> Problem:
        """Return a problem at a path inside the entry."""
        return Problem(self.document.file, self.document.line_of((self.name, *path)), f"{repeated(self.name)}: {text}")


def check_references(entries: Entries, removals: Mapping[str, Sequence[Entry]]) -> Iterator[Problem]:
    """Yield every reference that leads nowhere and everything that must exist and does not.

    Parameters
    ----------
    entries
        What is left after all overlays.
    removals
        Where entries of each kind were removed, as entries without a model.
    """
    yield from _check_templates(entries)
    yield from _check_projects(entries)
    for kind in ("tiers", "projects"):
        for entry in _valid(entries[kind]):
            yield from _check_limits(entry, entries["gpu_types"])
    yield from _check_rates(entries)
    yield from _check_starts(entries["carbon"], "carbon factor begins on the same day")
    yield from _check_node_pools(entries)
    yield from _check_legal_entities(entries)
    yield from _check_required(entries, removals)


def _valid(entries: Mapping[str, Entry]) -> list[Entry]:
    return [entry for entry in entries.values() if entry.model is not None]


def _check_templates(entries: Entries) -> Iterator[Problem]:
    for entry in _valid(entries["environment_templates"]):
        for position, gpu_type in enumerate(entry.model.gpu_types):
            if gpu_type not in entries["gpu_types"]:
                yield entry.problem(("gpu_types", position), unknown("GPU type", gpu_type, entries["gpu_types"]))
            elif gpu_type in entry.model.gpu_types[:position]:
                yield entry.problem(("gpu_types", position), f"the GPU type {gpu_type} stands twice")


def _check_projects(entries: Entries) -> Iterator[Problem]:
    projects = entries["projects"]
    for entry in _valid(projects):
        if entry.model.cost_centre not in entries["cost_centres"]:
            yield entry.problem(("cost_centre",), unknown("cost centre", entry.model.cost_centre, entries["cost_centres"]))
    personal = [entry for entry in _valid(projects) if entry.model.is_personal]
    for entry in personal[1:]:
        yield entry.problem(("is_personal",), f"{personal[0].name} is the personal project already; exactly one may be")


def _check_limits(entry: Entry, gpu_types: Iterable[str]) -> Iterator[Problem]:
    limits = entry.model.limits
    keys = [(limit.dimension, limit.gpu_type, limit.window_days) for limit in limits]
    for position, limit in enumerate(limits):
        if limit.gpu_type is not None and limit.gpu_type not in gpu_types:
            yield entry.problem(("limits", position, "gpu_type"), unknown("GPU type", limit.gpu_type, gpu_types))
        if keys[position] in keys[:position]:
            yield entry.problem(("limits", position), f"the limit of {limit.dimension} stands twice")


def _check_rates(entries: Entries) -> Iterator[Problem]:
    cards = _valid(entries["rates"])
    for entry in cards:
        for path, text in faults_of_names(entry.model, entries["gpu_types"], entries["tiers"], entries["projects"], entries["cost_centres"]):
            yield entry.problem(path, text)
    yield from _check_starts(entries["rates"], "rate card begins at the same instant")


def _check_starts(entries: Mapping[str, Entry], what: str) -> Iterator[Problem]:
    starts = Counter(entry.model.effective_from for entry in _valid(entries))
    for entry in _valid(entries):
        if starts[entry.model.effective_from] > 1:
            yield entry.problem(("effective_from",), f"another {what}")


def _check_node_pools(entries: Entries) -> Iterator[Problem]:
    seen: dict[frozenset[tuple[str, str]], str] = {}
    for entry in _valid(entries["node_pools"]):
        if entry.model.gpu_type not in entries["gpu_types"]:
            yield entry.problem(("gpu_type",), unknown("GPU type", entry.model.gpu_type, entries["gpu_types"]))
        selector = frozenset(entry.model.node_selector.items())
        if selector in seen:
            yield entry.problem(("node_selector",), f"{seen[selector]} has the same labels; each node must be of one pool")
        seen.setdefault(selector, entry.name)


def _check_legal_entities(entries: Entries) -> Iterator[Problem]:
    known = entries["legal_entities"]
    for entry in _valid(entries["cost_centres"]):
        if entry.model.legal_entity is not None and entry.model.legal_entity not in known:
            yield entry.problem(("legal_entity",), unknown("legal entity", entry.model.legal_entity, known))
    seen: dict[str, str] = {}
    for entry in _valid(known):
        prefix = entry.model.number_prefix
        if prefix in seen:
            yield entry.problem(("number_prefix",), f"{seen[prefix]} has the same prefix {prefix}; two invoices would have one number")
        seen.setdefault(prefix, entry.name)


def _check_required(entries: Entries, removals: Mapping[str, Sequence[Entry]]) -> Iterator[Problem]:
    projects, gpu_types = entries["projects"].values(), entries["gpu_types"]
    required = (
        ("tiers", DEFAULT_TIER in entries["tiers"], f"the tier {DEFAULT_TIER} must exist; it holds for everybody who has no other"),
        ("rates", bool(entries["rates"]), "there must be at least one rate card"),
        ("environment_templates", bool(entries["environment_templates"]), "there must be at least one environment template"),
        (
            "projects",
            any(entry.model is None or entry.model.is_personal for entry in projects),
            "no project has is_personal: true; exactly one must, for people who belong to no other",
        ),
        *(("gpu_types", name in gpu_types, f"the GPU type {name} must exist") for name in (OTHER_GPU_TYPE, SIMULATED_GPU_TYPE)),
    )
    for kind, is_there, text in required:
        if not is_there:
            yield [*entries[kind].values(), *removals[kind]][-1].problem((), text)
