"""The policy file: YAML laid over a policy of the domain. Each key is a number's name; a length's key lacks its ``_seconds``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError, ValidationInfo, field_validator
from pydantic_core import CoreSchema, core_schema

from aiplatform_hub.catalog.documents import Document, KeyPath, document_of, read_document
from aiplatform_hub.catalog.lengths import UNITS, format_length, parse_length
from aiplatform_hub.catalog.models import Instant, Text
from aiplatform_hub.catalog.problems import Problem, configuration_error, repeated, unknown, wording
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.policy import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, SHIPPED, ClassReservation, Policy

NEVER = "never"
"""What a file says for None."""

LONGEST_SECONDS = 3650 * DAY_SECONDS
LEAST_CAP_SECONDS = 6 * HOUR_SECONDS
"""Nobody who keeps the GPUs busy is stopped earlier."""
LEAST_IDLE_SECONDS = 10 * MINUTE_SECONDS
"""No idle GPUs are taken earlier."""
LEAST_WARNING_SECONDS = 5 * MINUTE_SECONDS
"""Nobody is warned later."""
LEAST_INACTIVE_SECONDS = 10 * MINUTE_SECONDS
"""No unused server ends earlier: the hub may hear of its use five minutes late."""


@dataclass(frozen=True, slots=True)
class Length:
    """What a length of time may be. In seconds, both ends inclusive."""

    least_seconds: float = 0.0
    most_seconds: float = LONGEST_SECONDS
    can_be_never: bool = False

    @property
    def words(self) -> str:
        """What a reference says."""
        least = f", {format_length(self.least_seconds)} or more" if self.least_seconds else ""
        most = f", at most {format_length(self.most_seconds)}" if self.most_seconds < LONGEST_SECONDS else ""
        return f"a length{least}{most}" + (f"; or `{NEVER}`" if self.can_be_never else "")

    def read(self, value: object) -> float | None:
        """Return the seconds; None for *never*."""
        if value == NEVER and self.can_be_never:
            return None
        if type(value) is not str:
            example = format_length(max(self.least_seconds, UNITS["h"]))
            raise ValueError(f"must be a length of time with its unit, for example {example}" + (f", or {NEVER}" if self.can_be_never else ""))
        seconds = parse_length(repeated(value))
        if seconds < self.least_seconds:
            never = f", or {NEVER}" if self.can_be_never else ""
            raise ValueError(f"is {repeated(value)}; it must be {format_length(self.least_seconds)} or more{never}")
        if seconds > self.most_seconds:
            raise ValueError(f"is {repeated(value)}; it must be at most {format_length(self.most_seconds)}")
        return seconds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


@dataclass(frozen=True, slots=True)
class Number:
    """What a number may be, both ends inclusive."""

    least: float
    most: float
    is_whole: bool = False

    @property
    def words(self) -> str:
        """What a reference and a message say."""
        return f"a {'whole number' if self.is_whole else 'number'} from {self.least:g} to {self.most:g}"

    def read(self, value: object) -> float:
        """Return the number."""
        is_number = type(value) is int or (type(value) is float and not self.is_whole)
        if is_number and isinstance(value, int | float) and self.least <= value <= self.most:
            return value
        raise ValueError(f"must be {self.words}, not {repeated(value)}")

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.read)


Weight = Annotated[float, Number(0.001, 1000)]
Fraction = Annotated[float, Number(0, 1)]
Gpus = Annotated[int, Number(0, 10000, is_whole=True)]
Inactivity = Annotated[float | None, Length(LEAST_INACTIVE_SECONDS, can_be_never=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ReservationModel(_Strict):
    """One of ``reservations``: GPUs of a project in a window; ``gpu_type`` may be left out."""

    project: Text
    gpus: Annotated[int, Number(1, 10000, is_whole=True)]
    gpu_type: Text | None = None
    start: Instant
    end: Instant

    @field_validator("end")
    @classmethod
    def _after_start(cls, value: datetime, info: ValidationInfo) -> datetime:
        start = info.data.get("start")
        if start is not None and value <= start:
            raise ValueError(f"the window ends at {value:%Y-%m-%dT%H:%M:%SZ}, not after its start")
        return value

    def to_domain(self) -> ClassReservation:
        """Return the domain's reservation."""
        return ClassReservation(self.project, self.gpus, self.gpu_type, self.start.astimezone(UTC).timestamp(), self.end.astimezone(UTC).timestamp())


class PolicyModel(_Strict):
    """The keys of a policy file; those that it lacks stay as they are in the policy under it."""

    is_fair: bool = SHIPPED.is_fair
    half_life: Annotated[float, Length(least_seconds=MINUTE_SECONDS)] = SHIPPED.half_life_seconds
    gpu_type_weights: dict[Text, Weight] = {}
    project_shares: dict[Text, Weight] = {}
    level_ratio: Annotated[float, Number(1, 1000)] = SHIPPED.level_ratio
    is_shortest_first: bool = SHIPPED.is_shortest_first
    short_queue_fraction: Annotated[float, Number(0, 100)] = SHIPPED.short_queue_fraction
    reserve_after: Annotated[float | None, Length(can_be_never=True)] = SHIPPED.reserve_after_seconds
    reserve_part_after: Annotated[float | None, Length(can_be_never=True)] = SHIPPED.reserve_part_after_seconds
    whole_node_first_after: Annotated[float | None, Length(can_be_never=True)] = SHIPPED.whole_node_first_after_seconds
    idle_allowed_gpu: Annotated[float, Length()] = SHIPPED.idle_allowed_gpu_seconds
    idle_allowed_per_second: Annotated[float, Number(0, 1000)] = SHIPPED.idle_allowed_per_second
    overdue_after: Annotated[float | None, Length(can_be_never=True)] = SHIPPED.overdue_after_seconds
    reserve_quantile: Fraction = SHIPPED.reserve_quantile
    backfill_quantile: Fraction = SHIPPED.backfill_quantile
    backfill_slack: Annotated[float, Length()] = SHIPPED.backfill_slack_seconds
    takes_from_equals: bool = SHIPPED.takes_from_equals
    backfill: bool = SHIPPED.backfill
    is_releasing: bool = SHIPPED.is_releasing
    acts_only_while_somebody_waits: bool = SHIPPED.acts_only_while_somebody_waits
    session_cap: Annotated[float | None, Length(LEAST_CAP_SECONDS, can_be_never=True)] = SHIPPED.session_cap_seconds
    session_ceiling: Annotated[float, Length(LEAST_CAP_SECONDS)] = SHIPPED.session_ceiling_seconds
    extension: Annotated[float, Length(LEAST_WARNING_SECONDS)] = SHIPPED.extension_seconds
    guaranteed: Annotated[float, Length()] = SHIPPED.guaranteed_seconds
    idle_after: Annotated[float | None, Length(LEAST_IDLE_SECONDS, can_be_never=True)] = SHIPPED.idle_after_seconds
    idle_below_percent: Annotated[float, Number(0.1, 100)] = SHIPPED.idle_below_percent
    idle_growth_below_mib: Annotated[float, Number(0.001, 1048576)] = SHIPPED.idle_growth_below_mib
    idle_warning: Annotated[float, Length(LEAST_WARNING_SECONDS, 6 * HOUR_SECONDS)] = SHIPPED.idle_warning_seconds
    project_limits: dict[Text, Gpus] = {}
    project_inactive_after: dict[Text, Inactivity] = {}
    tier_inactive_after: dict[Text, Inactivity] = {}
    environment_template_inactive_after: dict[Text, Inactivity] = {}
    reservations: list[ReservationModel] = []

    def laid_over(self, base: Policy) -> Policy:
        """Return a policy with what the file says in place of the policy's own."""
        return replace(base, **{field_of(key): _domain_value(getattr(self, key)) for key in self.model_fields_set})


_INACTIVE_KEYS = ("project_inactive_after", "tier_inactive_after", "environment_template_inactive_after")
_FIELDS = {field.name for field in fields(Policy)}


def field_of(key: str) -> str:
    """Return the name of the policy's field that a key sets."""
    return key if key in _FIELDS else f"{key}_seconds"


def _domain_value(value: Any) -> Any:
    return tuple(each.to_domain() for each in value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class PolicyReading:
    """What became of a policy file."""

    policy: Policy
    """Worthless where there are problems."""
    problems: tuple[Problem, ...]


def load_policy(file: Path, base: Policy = SHIPPED, catalog: Catalog | None = None) -> Policy:
    """Return the policy of a file; as :func:`read_policy`.

    Raises
    ------
    ConfigurationError
        With every problem at once, each naming file, line, what is wrong and the nearest right word.
    """
    reading = read_policy(file, base, catalog)
    if reading.problems:
        raise configuration_error("The policy", reading.problems)
    return reading.policy


def read_policy(file: Path, base: Policy = SHIPPED, catalog: Catalog | None = None) -> PolicyReading:
    """Return what a file makes of a policy, and everything that is wrong with it.

    Parameters
    ----------
    base
        What holds for the keys that the file lacks.
    catalog
        If given, projects and GPU types must be known to it.
    """
    return _reading(read_document(file), base, catalog)


def read_policy_text(text: str, name: str, base: Policy = SHIPPED, catalog: Catalog | None = None) -> PolicyReading:
    """Return the same of a text that need not be in a file.

    Parameters
    ----------
    name
        What the problems call it.
    """
    return _reading(document_of(text.encode(errors="replace"), Path(name)), base, catalog)


def _reading(document: Document, base: Policy, catalog: Catalog | None) -> PolicyReading:
    model = _model(document)
    policy = model.laid_over(base)
    wrong = document.content.keys() - model.model_fields_set
    for key, text in _contradictions(policy, model.model_fields_set, wrong):
        document.add_problem((key,), f"{key}: {text}")
    if catalog is not None:
        for path, text in _unknown_names(document.content, catalog):
            document.add_problem(path, f"{path[0]}: {text}")
    return PolicyReading(policy, tuple(document.problems))


def _model(document: Document) -> PolicyModel:
    """Return the keys that are right, and note the others."""
    try:
        return PolicyModel.model_validate(document.content)
    except ValidationError as error:
        is_partly_read = bool(document.problems)  # what YAML itself made wrong reads as None, and has its problem already
        wrong = set()
        for item in error.errors(include_url=False):
            wrong.add(item["loc"][0])
            keys = PolicyModel.model_fields if len(item["loc"]) == 1 else ReservationModel.model_fields
            if not (is_partly_read and item["input"] is None):
                document.add_problem(item["loc"], wording(item, keys))
        return PolicyModel.model_validate({key: value for key, value in document.content.items() if key not in wrong})


def _contradictions(policy: Policy, said: AbstractSet[str], wrong: AbstractSet[str]) -> Iterator[tuple[str, str]]:
    """Yield which key of the file contradicts another number, and how; nothing about keys that are wrong by themselves."""
    cap, idle = policy.session_cap_seconds, policy.idle_after_seconds
    pairs = (
        ("idle_warning", policy.idle_warning_seconds, "idle_after", idle, "of which the warning is the end"),
        ("session_cap", cap, "session_ceiling", policy.session_ceiling_seconds, "up to which extensions may carry a session"),
        ("guaranteed", policy.guaranteed_seconds, "session_cap", cap, "which would not hold"),
    )
    for low, low_seconds, high, high_seconds, why in pairs:
        key = next((key for key in (low, high) if key in said), None)
        if key is not None and not wrong & {low, high} and low_seconds is not None and high_seconds is not None and low_seconds > high_seconds:
            yield key, f"{low} ({format_length(low_seconds)}) is longer than {high} ({format_length(high_seconds)}), {why}"
    for key in _INACTIVE_KEYS if "idle_warning" not in wrong else ():
        for name, seconds in getattr(policy, field_of(key)).items():
            if seconds is not None and seconds < policy.idle_warning_seconds and said & {key, "idle_warning"}:
                yield key if key in said else "idle_warning", _too_short_to_warn(f"{key}.{name}", seconds, policy.idle_warning_seconds)


def _too_short_to_warn(what: str, seconds: float, warning_seconds: float) -> str:
    return f"{what} ({format_length(seconds)}) is shorter than idle_warning ({format_length(warning_seconds)}), which is its end"


def _unknown_names(content: Mapping[str, Any], catalog: Catalog) -> Iterator[tuple[KeyPath, str]]:
    """Yield each name that the catalogue lacks, also beside values that are wrong themselves."""
    named: list[tuple[KeyPath, str, Any, Mapping[str, Any]]] = []
    for key, what, known in (
        ("project_shares", "project", catalog.projects),
        ("project_limits", "project", catalog.projects),
        ("gpu_type_weights", "GPU type", catalog.gpu_types),
        ("project_inactive_after", "project", catalog.projects),
        ("tier_inactive_after", "tier", catalog.tiers),
        ("environment_template_inactive_after", "environment template", catalog.environment_templates),
    ):
        named += [((key, name), what, name, known) for name in _names(content.get(key))]
    windows = content.get("reservations")
    for position, each in enumerate(windows if isinstance(windows, list) else ()):
        for key, what, names in (("project", "project", catalog.projects), ("gpu_type", "GPU type", catalog.gpu_types)):
            named += [(("reservations", position, key), what, each.get(key), names)] if isinstance(each, dict) else []
    for path, what, name, names in named:
        if isinstance(name, str) and name and name not in names:
            yield path, unknown(what, name, names)


def _names(value: object) -> Iterable[str]:
    return value if isinstance(value, dict) else ()
