"""``custom.aiPlatform`` of a Helm values file: its keys are our traits in camel case."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from traitlets import TraitError

from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.hub.traits import AIPlatform


def camel_case(name: str) -> str:
    """Return a trait's name as Helm values spell it: ``node_lost_seconds`` as ``nodeLostSeconds``."""
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


def traits_of_values(values: object) -> dict[str, Any]:
    """Return the traits of ``c.AIPlatform`` that the values set.

    Raises
    ------
    ConfigurationError
        With every unknown key and every value of the wrong type at once.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError("custom.aiPlatform must be a mapping of settings.")
    known = {camel_case(name): name for name in AIPlatform.class_own_traits(config=True)}
    found: dict[str, Any] = {}
    problems = []
    for key, value in values.items():
        if key not in known:
            problems.append(f"custom.aiPlatform.{key} is not known{_nearest(str(key), known)}.")
            continue
        try:
            setattr(AIPlatform(), known[key], value)
        except TraitError as error:
            problems.append(f"custom.aiPlatform.{key} is not right: {error}")
        found[known[key]] = value
    if problems:
        raise ConfigurationError(" ".join(problems))
    return found


def _nearest(key: str, known: Mapping[str, str]) -> str:
    close = get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}" if close else f"; known are {', '.join(sorted(known))}"
