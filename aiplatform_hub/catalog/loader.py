"""Loads the catalogue: the built-in files with the operator's folders laid over them by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from aiplatform_hub.catalog.billing_models import CostCentreModel, LegalEntityModel
from aiplatform_hub.catalog.carbon_model import CarbonFactorModel
from aiplatform_hub.catalog.checks import Entry, check_references
from aiplatform_hub.catalog.documents import Document, KeyPath, read_document
from aiplatform_hub.catalog.models import EnvironmentTemplateModel, GpuTypeModel, NodePoolModel, ProjectModel, TierModel
from aiplatform_hub.catalog.problems import Problem, repeated, unknown, wording
from aiplatform_hub.catalog.rate_card_model import RateCardModel
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.errors import CatalogError, Reason

DEFAULT_DIR = Path(__file__).parent / "default"
"""The built-in catalogue."""

DEMO_DIR = Path(__file__).parent / "demo"
"""What a trial installation lays over it."""

KINDS: dict[str, Any] = {
    "environment_templates": EnvironmentTemplateModel,
    "tiers": TierModel,
    "gpu_types": GpuTypeModel,
    "projects": ProjectModel,
    "cost_centres": CostCentreModel,
    "rates": RateCardModel,
    "node_pools": NodePoolModel,
    "legal_entities": LegalEntityModel,
    "carbon": CarbonFactorModel,
}
"""The files of a catalogue folder, without ``.yaml``, and the model of their entries."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What an entry can be called."""
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def load_catalog(overlay_dirs: Sequence[Path] = ()) -> Catalog:
    """Return the built-in catalogue with folders laid over it in order.

    An entry of a later folder replaces the whole entry of the same name; ``name: null`` removes it.

    Raises
    ------
    CatalogError
        With every problem at once, each naming file, line, what is wrong and the nearest right word.
    """
    loading = _read(overlay_dirs)
    lines = loading.all_problems()
    if lines:
        count = "one problem" if len(lines) == 1 else f"{len(lines)} problems"
        reasons = tuple(Reason(code=CatalogError.code, message=line) for line in lines)
        raise CatalogError(f"The catalogue has {count}:\n" + "\n".join(reason.message for reason in reasons), reasons)
    return _catalog(loading.entries)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry stands."""

    file: Path
    line: int | None
    """From 1; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the files say now, right or wrong."""

    origins: Mapping[str, Mapping[str, Origin]]
    """Where each entry comes from, by kind and name: the last file that has it."""
    problems: tuple[str, ...]
    """Everything that is wrong, as sentences in order of file and line."""


def inspect_catalog(overlay_dirs: Sequence[Path] = ()) -> Inspection:
    """Return where each entry stands and what is wrong; raises nothing."""
    loading = _read(overlay_dirs)
    origins = {
        kind: {name: Origin(entry.document.file, entry.document.line_of((name,))) for name, entry in known.items()} for kind, known in loading.entries.items()
    }
    return Inspection(origins, loading.all_problems())


def _read(overlay_dirs: Sequence[Path]) -> _Loading:
    loading = _Loading()
    for folder in (DEFAULT_DIR, *overlay_dirs):
        loading.read_folder(folder)
    return loading


@dataclass(slots=True)
class _Loading:
    entries: dict[str, dict[str, Entry]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    removals: dict[str, list[Entry]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    problems: list[Problem] = field(default_factory=list)

    def all_problems(self) -> tuple[str, ...]:
        """Return everything that is wrong, in order of file and line."""
        problems = [*self.problems, *check_references(self.entries, self.removals)]
        return tuple(line for _, _, line in sorted({(str(p.file), p.line or 0, str(p)) for p in problems}))

    def read_folder(self, folder: Path) -> None:
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix in {".yaml", ".yml"})
        except OSError as error:
            self.problems.append(Problem(folder, None, f"the catalogue folder cannot be read: {error.strerror or error}"))
            return
        for file in files:
            if file.suffix == ".yaml" and file.stem in KINDS:
                self._read_file(file)
            else:
                self.problems.append(Problem(file, None, f"nothing reads this file; a catalogue folder holds {', '.join(f'{kind}.yaml' for kind in KINDS)}"))

    def _read_file(self, file: Path) -> None:
        document, known = read_document(file), self.entries[file.stem]
        for name, value in document.content.items():
            if value is None:
                self._remove(document, file.stem, name)
            else:
                known[name] = _entry(document, file.stem, name, value)
        self.problems += document.problems

    def _remove(self, document: Document, kind: str, name: str) -> None:
        known = self.entries[kind]
        if name in known:
            del known[name]
            self.removals[kind].append(Entry(document, name, None))
        elif not any(problem.line == document.line_of((name,)) for problem in document.problems):
            document.add_problem((name,), f"nothing to remove: {unknown('entry', name, known)}")


def _entry(document: Document, kind: str, name: str, value: object) -> Entry:
    """Validate one entry; a wrong one stays known by its name, without a model."""
    pattern = _SLUG if kind in {"environment_templates", "gpu_types", "node_pools"} else NAME
    if not pattern.fullmatch(name):
        letters = "lower-case letters, digits and hyphens" if pattern is _SLUG else "letters, digits, dots, hyphens and underscores"
        document.add_problem((name,), f"the name {repeated(name)} must be 1 to 64 {letters}")
    model: BaseModel | None = None
    try:
        model = KINDS[kind].model_validate(value, context={"folder": document.file.parent})
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            path = (name, *item["loc"])
            document.add_problem(path, f"{repeated(name)}: {wording(item, keys_at(KINDS[kind], item['loc'][:-1]))}")
    return Entry(document, name, model)


def keys_at(model: Any, location: KeyPath) -> tuple[str, ...]:
    """Return the keys that are right in the mapping at a location inside an entry."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        model = next((inner for inner in (annotation, *getattr(annotation, "__args__", ())) if hasattr(inner, "model_fields")), None)
        if model is None:
            return ()
    return tuple(model.model_fields)


def _catalog(entries: dict[str, dict[str, Entry]]) -> Catalog:
    values: dict[str, dict[str, Any]] = {kind: {name: entry.model.to_domain(name) for name, entry in known.items()} for kind, known in entries.items()}
    cards = sorted(values["rates"].values(), key=lambda card: card.effective_from)
    return Catalog(
        environment_templates=values["environment_templates"],
        tiers=values["tiers"],
        gpu_types=values["gpu_types"],
        projects=values["projects"],
        cost_centres=values["cost_centres"],
        rate_cards=tuple(cards),
        node_pools=values["node_pools"],
        legal_entities=values["legal_entities"],
        carbon_factors=tuple(sorted(values["carbon"].values(), key=lambda factor: factor.effective_from)),
    )
