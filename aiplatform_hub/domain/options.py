"""Strict validation of user options: untrusted JSON in, a complete launch request or a reasoned refusal out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from aiplatform_hub.domain.catalog import Catalog, EnvironmentTemplate, Project, Range
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.errors import InvalidOptionError, ProfileForbiddenError, Reason

OPTION_KEYS = ("environment_template", "gpus", "gpu_type", "memory_gib", "cpu_cores", "project", "max_hours")
"""Every option there is."""

MAX_TEXT_LENGTH = 255
"""Longest text of any option, in characters."""

MAX_HOURS = Range(minimum=1, maximum=8760, default=1)
"""Allowed planned length in hours; the default is never filled in."""

_MOST_REASONS = 20
_MOST_LISTED = 16
_SAFE_TO_REPEAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_KINDS = {str: "a text", bool: "true or false", float: "a number with a fraction", type(None): "null", list: "a list", dict: "an object"}


def resolve(options: object, *, catalog: Catalog, caller: Caller, available_gpu_types: Sequence[str] | None = None) -> LaunchRequest:
    """Return the launch request that user options state, with every default filled in.

    Parameters
    ----------
    options
        Whatever came from outside; only an object with known keys and exact JSON types passes.
    catalog
        What is on offer.
    caller
        The person who will own the server.
    available_gpu_types
        GPU types that exist on this place, in order of preference; None means all of the catalogue.

    Raises
    ------
    InvalidOptionError
        If an option is unknown, missing, of the wrong type or out of range; all such options at once.
    ProfileForbiddenError
        If the caller's groups do not allow the environment template or the project.
    """
    if not isinstance(options, dict):
        raise _invalid([_reason("options", f"The options must be an object, not {_kind(options)}.", OPTION_KEYS)])
    reader = _Reader(options, catalog, caller)
    reader.refuse_unknown_keys()
    template, project = reader.template(), reader.project()
    max_hours = reader.number("max_hours", MAX_HOURS) if "max_hours" in options else None
    if template is None:
        raise _invalid(reader.reasons)
    gpus, gpu_type = reader.number("gpus", template.gpus), reader.gpu_type(template, available_gpu_types)
    memory_gib, cpu_cores = reader.number("memory_gib", template.memory_gib), reader.number("cpu_cores", template.cpu_cores)
    if reader.reasons or project is None:
        raise _invalid(reader.reasons)
    _refuse_forbidden(template, project, caller, catalog)
    return LaunchRequest(template.name, gpus, gpu_type if gpus else None, memory_gib * GIB, cpu_cores, project.name, project.cost_centre, max_hours)


def options_of(request: LaunchRequest) -> dict[str, object]:
    """Return the user options that resolve to this request again."""
    options: dict[str, object] = {
        "environment_template": request.environment_template,
        "gpus": request.gpus,
        "memory_gib": request.memory_bytes // GIB,
        "cpu_cores": request.cpu_cores,
        "project": request.project,
    }
    if request.gpu_type is not None:
        options["gpu_type"] = request.gpu_type
    if request.max_hours is not None:
        options["max_hours"] = request.max_hours
    return options


class _Reader:
    """Reads one options object and gathers everything that is wrong with it."""

    def __init__(self, options: dict[object, object], catalog: Catalog, caller: Caller) -> None:
        self.options = options
        self.catalog = catalog
        self.caller = caller
        self.reasons: list[Reason] = []

    def refuse_unknown_keys(self) -> None:
        for key in self.options:
            if key in OPTION_KEYS:
                continue
            near = get_close_matches(key[:MAX_TEXT_LENGTH], OPTION_KEYS, n=1) if isinstance(key, str) else []
            hint = f" Did you mean {near[0]}?" if near else f" The options are {_listed(OPTION_KEYS)}."
            name = _repeatable(key)
            self._refuse(name or "options", f"There is no option {name}.{hint}" if name else f"An option has no valid name.{hint}", OPTION_KEYS)
            if len(self.reasons) >= _MOST_REASONS:
                return

    def template(self) -> EnvironmentTemplate | None:
        known = self.catalog.environment_templates
        if "environment_template" not in self.options:
            self._refuse("environment_template", f"environment_template is missing; choose one of {_listed(known)}.", known)
            return None
        name = self._name("environment_template", known)
        return None if name is None else known[name]

    def project(self) -> Project | None:
        mine = self.catalog.projects_of(self.caller.groups, self.caller.projects)
        if "project" in self.options:
            name = self._name("project", self.catalog.projects, allowed=[project.name for project in mine])
            return None if name is None else self.catalog.projects[name]
        own = [project for project in mine if not project.is_personal]
        return own[0] if len(own) == 1 else mine[-1]

    def number(self, field: str, allowed: Range) -> int:
        if field not in self.options:
            return allowed.default
        value = self.options[field]
        if type(value) is int and allowed.minimum <= value <= allowed.maximum:
            return value
        given = "" if type(value) is int else f", not {_kind(value)}"
        span = str(allowed.minimum) if allowed.minimum == allowed.maximum else f"a whole number from {allowed.minimum} to {allowed.maximum}"
        self._refuse(field, f"{field} must be {span}{given}.", _values(allowed))
        return allowed.default

    def gpu_type(self, template: EnvironmentTemplate, available: Sequence[str] | None) -> str | None:
        known = [name for name in template.gpu_types if name in self.catalog.gpu_types] or list(self.catalog.gpu_types)
        if "gpu_type" in self.options:
            return self._name("gpu_type", known)
        here = known if available is None else [name for name in known if name in available]
        if available is not None and not template.gpu_types:
            here = [name for name in available if name in known]
        return (here or known)[0]

    def _name(self, field: str, known: Iterable[str], *, allowed: Iterable[str] | None = None) -> str | None:
        """Return a text option that is one of the known names, or gather why it is not."""
        value = self.options[field]
        names = list(known)
        if type(value) is str and value in names:
            return value
        shown = names if allowed is None else list(allowed)
        self._refuse(field, f"{field} {_fault(value)}; choose one of {_listed(shown)}.", shown)
        return None

    def _refuse(self, field: str, message: str, allowed: Iterable[str]) -> None:
        self.reasons.append(_reason(field, message, allowed))


def _refuse_forbidden(template: EnvironmentTemplate, project: Project, caller: Caller, catalog: Catalog) -> None:
    mine = catalog.projects_of(caller.groups, caller.projects)
    reasons = []
    if template.allowed_groups and not caller.groups & set(template.allowed_groups):
        usable = [t.name for t in catalog.environment_templates.values() if not t.allowed_groups or caller.groups & set(t.allowed_groups)]
        message = f"The environment template {template.name} is for members of {_listed(template.allowed_groups)}."
        reasons.append(_reason("environment_template", message, usable, code=ProfileForbiddenError.code))
    if project not in mine:
        names = [p.name for p in mine]
        message = f"You are not a member of the project {project.name}; your projects are {_listed(names)}."
        reasons.append(_reason("project", message, names, code=ProfileForbiddenError.code))
    if reasons:
        raise ProfileForbiddenError(" ".join(reason.message for reason in reasons), tuple(reasons))


def _invalid(reasons: Sequence[Reason]) -> InvalidOptionError:
    return InvalidOptionError(" ".join(reason.message for reason in reasons[:3]), tuple(reasons))


def _reason(field: str, message: str, allowed: Iterable[str], *, code: str = InvalidOptionError.code) -> Reason:
    return Reason(code=code, message=message, field=field, allowed=tuple(allowed))


def _fault(value: object) -> str:
    """Say what is wrong with a value that should have been one of some names, repeating nothing unsafe."""
    if type(value) is not str:
        return f"must be a text, not {_kind(value)}"
    if len(value) > MAX_TEXT_LENGTH:
        return f"must not be longer than {MAX_TEXT_LENGTH} characters"
    if not value.isprintable():
        return "must not contain line breaks or control characters"
    if "{" in value or "}" in value:
        return "must not contain braces"
    name = _repeatable(value)
    return f"is not known: {name}" if name else "is not known"


def _repeatable(value: object) -> str:
    """Return the value if it is short and plain enough to repeat in a message, else an empty text."""
    return value if isinstance(value, str) and _SAFE_TO_REPEAT.fullmatch(value) else ""


def _kind(value: object) -> str:
    return "a whole number" if type(value) is int else _KINDS.get(type(value), "something else")


def _values(allowed: Range) -> tuple[str, ...]:
    if allowed.maximum - allowed.minimum < _MOST_LISTED:
        return tuple(str(number) for number in range(allowed.minimum, allowed.maximum + 1))
    return (f"{allowed.minimum} to {allowed.maximum}",)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
