"""What a person saved on the Launch page, and what they can save and share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.presets import Preset
from aiplatform_hub.web.launch_form import FAIL, IF_FULL, Choices, options_of_choices
from aiplatform_hub.web.view_models.formats import count, gpus
from aiplatform_hub.web.view_models.labels import gpu_label, project_label, template_label
from aiplatform_hub.web.view_models.paths import Paths

if TYPE_CHECKING:
    from aiplatform_hub.web.view_models.problem import Problem

BADGE_TITLE = "Launch on AI Platform Hub"


@dataclass(frozen=True, slots=True)
class PresetLink:
    """A saved choice."""

    name: str
    summary: str
    url: str
    delete_url: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Deleted:
    """A choice that was just deleted and can be brought back."""

    name: str
    restore_url: str


@dataclass(frozen=True, slots=True)
class Act:
    """What was just done with a saved choice."""

    saved: Preset | None = None
    deleted: Preset | None = None
    problem: Problem | None = None
    """Why it could not be saved."""
    list_problem: Problem | None = None
    """Why it could not be deleted or brought back."""
    name: str = ""
    """The name that was refused."""


@dataclass(frozen=True, slots=True)
class Keep:
    """Saving and sharing, as the page shows it."""

    presets: tuple[PresetLink, ...]
    summary: str
    """The choice in words."""
    fields: Mapping[str, object]
    """The choice as fields of a form."""
    link: str
    badge: str
    """Markdown of a picture with the link."""
    deleted: Deleted | None = None
    saved: str = ""
    name: str = ""
    problem: Problem | None = field(default=None)
    list_problem: Problem | None = None

    @property
    def is_open(self) -> bool:
        """Whether the folded part is shown: something just happened in it."""
        return bool(self.saved or self.problem)


def keep(  # noqa: PLR0913  keyword-only
    choices: Choices, presets: Sequence[Preset], act: Act, *, catalog: Catalog, paths: Paths, origin: str
) -> Keep:
    """Return what can be done with the choice, and what was saved before.

    Parameters
    ----------
    origin
        Scheme and host by which the reader reaches the hub, without a slash at the end.
    """
    fields = options_of_choices(choices) | ({} if choices.may_wait else {IF_FULL: FAIL})
    link = f"{origin}{paths.launch(**fields)}"
    return Keep(
        presets=tuple(_link(preset, act, catalog, paths) for preset in presets),
        summary=f"Your choice now: {summary(options_of_choices(choices), catalog, may_wait=choices.may_wait)}",
        fields=fields,
        link=link,
        badge=f"[![{BADGE_TITLE}]({origin}{paths.platform}static/launch-badge.svg)]({link})",
        deleted=None if act.deleted is None else Deleted(act.deleted.name, restore_url(act.deleted.id, paths)),
        saved=act.saved.name if act.saved else "",
        name=act.name,
        problem=act.problem,
        list_problem=act.list_problem,
    )


def summary(options: Mapping[str, object], catalog: Catalog, *, may_wait: bool) -> str:
    """Return a choice in words, such as ``PyTorch, 2 × NVIDIA H100, 16 GiB, 4 cores, Computer vision``."""
    number = options.get("gpus")
    words = [
        template_label(catalog, str(options.get("environment_template", ""))),
        gpus(number if isinstance(number, int) else 0, gpu_label(catalog, _text(options.get("gpu_type")))),
        f"{options['memory_gib']} GiB" if "memory_gib" in options else "",
        count(cores, "core") if isinstance(cores := options.get("cpu_cores"), int) else "",
        project_label(catalog, str(options["project"])) if options.get("project") else "",
        f"{count(hours, 'hour')} planned" if isinstance(hours := options.get("max_hours"), int) else "",
        "" if may_wait else "without waiting",
    ]
    return ", ".join(word for word in words if word)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _link(preset: Preset, act: Act, catalog: Catalog, paths: Paths) -> PresetLink:
    choices = {**preset.options, **({} if preset.may_wait else {IF_FULL: FAIL})}
    return PresetLink(
        name=preset.name,
        summary=summary(preset.options, catalog, may_wait=preset.may_wait),
        url=paths.launch(**choices),
        delete_url=f"{paths.platform}launch/presets/{preset.id}/delete",
        is_new=act.saved is not None and act.saved.id == preset.id,
    )


def restore_url(preset_id: UUID, paths: Paths) -> str:
    """Return where a deleted choice is brought back."""
    return f"{paths.platform}launch/presets/{preset_id}/restore"
