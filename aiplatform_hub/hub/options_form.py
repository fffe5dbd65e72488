"""The form of the hub's own spawn page: the choices of the Launch page, without a script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate
from aiplatform_hub.domain.options import MAX_HOURS, resolve
from aiplatform_hub.domain.requests import Caller
from aiplatform_hub.domain.supply import most_at_once
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.hub.refusals import launch_url
from aiplatform_hub.operations.availability import inside_of_templates, templates_for_others, unavailable_templates
from aiplatform_hub.operations.class_ends import class_ends
from aiplatform_hub.web.launch_form import INTEGER_FIELDS, TEXT_FIELDS, choices_of, options_of_choices, options_of_fields
from aiplatform_hub.web.no_breaks import keep_together
from aiplatform_hub.web.view_models.launch import LaunchForm, NumberField, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Chip, Quote

if TYPE_CHECKING:
    from aiplatform_hub.domain.quota import Decision
    from aiplatform_hub.hub.spawner import AIPlatformSpawner
    from aiplatform_hub.hub_factory import HubFactory

_OURS = frozenset({*TEXT_FIELDS, *INTEGER_FIELDS})
_NOT_OPTIONS = frozenset({"_xsrf"})
_USUAL = "Empty takes what is usual for the environment"


def options_from_strings(form_data: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the options of the submitted form. What the form does not have stays in, so that validation refuses it."""
    single = {name: values[0] for name, values in form_data.items() if len(values) == 1 and isinstance(values[0], str)}
    options = options_of_fields({name: text for name, text in single.items() if name in _OURS})
    for name, values in form_data.items():
        if name not in _NOT_OPTIONS and (name not in _OURS or name not in single):
            options[name] = [value if isinstance(value, str) else "a file" for value in values]
    return options


async def render_options_form(spawner: AIPlatformSpawner) -> str:
    """Return the form as HTML. It is never empty: with an empty one the hub would start the server at once."""
    process = spawner.platform
    link = launch_url(spawner.base_url, server_name=spawner.name)
    stored = dict(spawner.orm_spawner.user_options or {})
    try:
        await spawner.know_projects()
        form = await process.in_thread(spawn_form, process.factory, spawner.caller, stored)
    except Exception:
        spawner.log.warning("The choices of the spawn page could not be read", exc_info=True)
        return _page().render(form=None, launch_url=link)
    return _page().render(form=form, launch_url=link)


@cache
def _page() -> jinja2.Template:
    environment = jinja2.Environment(loader=jinja2.PackageLoader("aiplatform_hub", "web/hub_templates"), autoescape=True, finalize=keep_together)
    return environment.get_template("options_form.html")


def spawn_form(factory: HubFactory, caller: Caller, stored: Mapping[str, Any]) -> LaunchForm:
    """Return what the person may choose now. Blocks on the database; call it in a thread."""
    catalog = factory.catalog
    unavailable = unavailable_templates(catalog, factory.settings, factory.enforcer) | templates_for_others(catalog, caller.groups)
    gpu_types = [capacity.name for capacity in factory.enforcer.capacity()]
    projects = catalog.projects_of(caller.groups, caller.projects)
    fields = {name: str(value) for name, value in stored.items() if isinstance(value, str | int)}
    startable = [name for name in catalog.environment_templates if name not in unavailable]
    choices = choices_of(fields, catalog=catalog, gpu_types=gpu_types, projects=projects, startable=startable)
    offer = Offer(catalog, projects, tuple(gpu_types), unavailable, inside_of_templates(catalog, factory.settings))
    decisions = _decisions(factory, caller, options_of_choices(choices), catalog, gpu_types)
    form = launch_form(choices, offer, Quote(decisions, ends=class_ends(factory.policies, decisions, choices.project)))
    offered = [t for t in catalog.environment_templates.values() if t.name not in unavailable]
    most = most_at_once(factory.enforcer.whole_capacity())
    return replace(form, chips=tuple(_for_any(chip, offered, most) for chip in form.chips), numbers=tuple(_left_open(field, offered) for field in form.numbers))


def _decisions(factory: HubFactory, caller: Caller, options: dict[str, object], catalog: Catalog, gpu_types: list[str]) -> dict[int, Decision]:
    """Return the dry run of each GPU count of the chosen template, for its usual memory and cores."""
    template = catalog.environment_templates[str(options["environment_template"])]
    decisions: dict[int, Decision] = {}
    for gpus in range(template.gpus.minimum, template.gpus.maximum + 1):
        wanted = {"environment_template": template.name, "gpus": gpus, "project": options.get("project")}
        try:
            request = resolve({k: v for k, v in wanted.items() if v is not None}, catalog=catalog, caller=caller, available_gpu_types=gpu_types)
        except AIPlatformError:
            continue
        decisions[gpus] = factory.enforcer.dry_run(caller, request)
    return decisions


def _for_any(chip: Chip, offered: list[EnvironmentTemplate], most: int | None) -> Chip:
    """Leave a count open if any environment takes it and no limit or node ever forbids it; no count is chosen beforehand."""
    if most is not None and chip.value > most:
        return replace(chip, note=f"No node has {chip.value} GPUs; the largest has {most}.", is_chosen=False, is_enabled=False)
    is_taken = any(t.gpus.minimum <= chip.value <= t.gpus.maximum for t in offered)
    is_over_limit = chip.note.startswith("over your limit")
    note = chip.note if chip.is_enabled or not is_taken else ""
    return replace(chip, note=note, is_chosen=False, is_enabled=is_taken and not is_over_limit)


def _left_open(field: NumberField, offered: list[EnvironmentTemplate]) -> NumberField:
    """Widen a number to what any environment allows, and leave it empty."""
    if field.name == "max_hours":
        return replace(field, value="", minimum=MAX_HOURS.minimum, maximum=MAX_HOURS.maximum)
    ranges = [getattr(template, field.name) for template in offered]
    low, high = min((r.minimum for r in ranges), default=field.minimum), max((r.maximum for r in ranges), default=field.maximum)
    return replace(field, value="", minimum=low, maximum=high, help=_USUAL)
