"""The ecosystem's profiles: compiled from the catalogue, and their options translated into ours.

KubeSpawner's own reading of profiles never sees anything: it lets options pass without a profile, sets
images from free text and formats it. Here a profile is an environment template, and its options are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate
from aiplatform_hub.domain.requests import Caller

PROFILE = "profile"
COUNTS = ("gpus", "memory_gib", "cpu_cores")
_WHOLE = re.compile(r"0|[1-9][0-9]{0,5}", re.ASCII)
_FORM_PREFIX = "profile-option-"


def profile_list(catalog: Catalog, caller: Caller, gpu_types: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Return the profiles that a person may choose, the first one the default."""
    here = [name for name in catalog.gpu_types if gpu_types is None or name in set(gpu_types)]
    mine = [t for t in catalog.environment_templates.values() if not t.allowed_groups or caller.groups & set(t.allowed_groups)]
    return [_profile(template, catalog, here, is_default=position == 0) for position, template in enumerate(mine)]


def _profile(template: EnvironmentTemplate, catalog: Catalog, here: list[str], *, is_default: bool) -> dict[str, Any]:
    counts = range(template.gpus.minimum, template.gpus.maximum + 1)
    options: dict[str, Any] = {
        "gpus": {
            "display_name": "GPUs",
            "choices": {str(n): {"display_name": str(n), "default": n == template.gpus.default, "kubespawner_override": {}} for n in counts},
        }
    }
    types = [name for name in here if not template.gpu_types or name in template.gpu_types]
    if template.gpus.maximum and types:
        choices = {
            name: {"display_name": catalog.gpu_types[name].display_name, "default": position == 0, "kubespawner_override": {}}
            for position, name in enumerate(types)
        }
        options["gpu_type"] = {"display_name": "GPU type", "choices": choices}
    profile = {
        "slug": template.name,
        "display_name": template.display_name,
        "description": template.description,
        "default": is_default,
        "profile_options": options,
        "kubespawner_override": {},
    }
    return profile | ({"allowed_groups": list(template.allowed_groups)} if template.allowed_groups else {})


def translate(options: object) -> object:
    """Return options of the ecosystem as ours; what it cannot mean stays in, so that the strict validation refuses it."""
    if not isinstance(options, dict) or PROFILE not in options or "environment_template" in options:
        return options
    ours = {"environment_template": options[PROFILE], **{key: value for key, value in options.items() if key != PROFILE}}
    for key in COUNTS:
        if isinstance(ours.get(key), str) and _WHOLE.fullmatch(ours[key]):
            ours[key] = int(ours[key])
    if ours.get("gpus") == 0 and type(ours.get("gpus")) is int and isinstance(ours.get("gpu_type"), str):
        del ours["gpu_type"]  # the stock form always sends a type
    return ours


def options_of_stock_form(form: Mapping[str, list[Any]]) -> dict[str, Any] | None:
    """Return the options of KubeSpawner's own form; None if another form was sent.

    That form sends the options of every profile; those of the chosen one count.
    """
    if len(form.get(PROFILE, ())) != 1:
        return None
    chosen = form[PROFILE][0]
    options: dict[str, Any] = {PROFILE: chosen}
    for key, values in form.items():
        if key in {PROFILE, "_xsrf"}:
            continue
        if not key.startswith(_FORM_PREFIX):
            options[key] = values
        elif key.startswith(f"{_FORM_PREFIX}{chosen}--"):
            options[key.removeprefix(f"{_FORM_PREFIX}{chosen}--")] = values[0] if len(values) == 1 else values
    return options
