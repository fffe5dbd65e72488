"""The Launch form: from submitted text to choices and to options.

Choices are forgiving, so that a link or a half-filled form always shows a usable page;
options are exact, so that what is sent is judged by the same strict rules as every door.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate, Project, Range

INTEGER_FIELDS = ("gpus", "memory_gib", "cpu_cores", "max_hours")
TEXT_FIELDS = ("environment_template", "gpu_type", "project")
IF_FULL, QUEUE, FAIL = "if_full", "queue", "fail"
"""The field that says what to do when it does not fit now but could later, and its two values."""
_INTEGER = re.compile(r"[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the form shows as chosen; always inside the chosen template's ranges."""

    environment_template: str
    gpus: int
    gpu_type: str | None
    memory_gib: int
    cpu_cores: int
    project: str
    server_name: str = ""
    max_hours: int | None = None
    may_wait: bool = True
    """Whether it joins the queue if it does not fit now."""


def choices_of(fields: Mapping[str, str], *, catalog: Catalog, gpu_types: Sequence[str], projects: Sequence[Project], startable: Sequence[str]) -> Choices:
    """Return the choices of submitted or linked fields, with everything unusable replaced by a default.

    Parameters
    ----------
    fields
        Text by field name.
    gpu_types
        Types that exist here, in order.
    projects
        What the person may charge.
    startable
        Names of the environment templates that the person can start, in order of the catalogue.
    """
    names = list(catalog.environment_templates)
    wanted = fields.get("environment_template", "")
    name = wanted if wanted in names else next(iter(startable), names[0])
    template = catalog.environment_templates[name]
    types = types_of(template, gpu_types)
    project = fields.get("project", "")
    allowed = [p.name for p in projects]
    return Choices(
        environment_template=name,
        gpus=_within(fields.get("gpus", ""), template.gpus),
        gpu_type=fields["gpu_type"] if fields.get("gpu_type") in types else next(iter(types), None),
        memory_gib=_within(fields.get("memory_gib", ""), template.memory_gib),
        cpu_cores=_within(fields.get("cpu_cores", ""), template.cpu_cores),
        project=project if project in allowed else next(iter(allowed), ""),
        server_name=fields.get("server_name", "")[:30],
        max_hours=_integer(fields.get("max_hours", "")),
        may_wait=fields.get(IF_FULL) != FAIL,
    )


def types_of(template: EnvironmentTemplate, gpu_types: Sequence[str]) -> tuple[str, ...]:
    """Return the GPU types here that the template may use."""
    return tuple(name for name in gpu_types if not template.gpu_types or name in template.gpu_types)


def options_of_choices(choices: Choices) -> dict[str, object]:
    """Return the options that the choices mean, for a dry run."""
    options: dict[str, object] = {
        "environment_template": choices.environment_template,
        "gpus": choices.gpus,
        "memory_gib": choices.memory_gib,
        "cpu_cores": choices.cpu_cores,
    }
    if choices.project:
        options["project"] = choices.project
    if choices.gpus and choices.gpu_type:
        options["gpu_type"] = choices.gpu_type
    if choices.max_hours:
        options["max_hours"] = choices.max_hours
    return options


def options_of_fields(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the options of a submitted form; text that is no number stays text, so that it is refused by name."""
    options: dict[str, object] = {}
    for name in TEXT_FIELDS:
        if fields.get(name):
            options[name] = fields[name]
    for name in INTEGER_FIELDS:
        if fields.get(name):
            number = _integer(fields[name])
            options[name] = fields[name] if number is None else number
    if options.get("gpus") == 0:
        options.pop("gpu_type", None)
    return options


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _within(text: str, allowed: Range) -> int:
    number = _integer(text)
    return number if number is not None and allowed.minimum <= number <= allowed.maximum else allowed.default
