"""The shape of the catalogue's YAML entries. Unknown keys and inexact types are errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from aiplatform_hub.catalog.problems import repeated, unknown
from aiplatform_hub.domain.catalog import DEFAULT_LOGO, LOGOS, EnvironmentTemplate, GpuType, LimitAmount, NodePool, Project, Range, Tier
from aiplatform_hub.domain.dimensions import DIMENSIONS, Kind
from aiplatform_hub.domain.pods import GPU_RESOURCE, PRODUCT_LABEL
from aiplatform_hub.domain.units import parse_bytes

MAX_GPUS = 64
"""Most GPUs that one environment template may offer."""

MAX_AMOUNT = 10**15
"""Largest amount of any limit, in the dimension's unit."""

_DECIMAL = re.compile(r"\d{1,9}(\.\d{1,6})?")


_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*(?::[0-9]{1,5})?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_PATH}(?:/{_PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?")
"""A container image reference; anchored by ``fullmatch``."""

_DOMAIN = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*"
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_RESOURCE = re.compile(rf"{_DOMAIN}/{_WORD}")
_LABEL = re.compile(rf"(?:{_DOMAIN}/)?{_WORD}")


def _image(reference: str) -> str:
    if len(reference) > 255 or not _IMAGE.fullmatch(reference):  # noqa: PLR2004  what registries take
        raise ValueError(f"{repeated(reference)} is no image; write for example quay.io/lab/pytorch:2.9, or a name under images/ such as pytorch")
    return reference


def _resource(name: str) -> str:
    if not _RESOURCE.fullmatch(name):
        raise ValueError(f"{repeated(name)} is no resource; write it with its domain, for example nvidia.com/gpu or amd.com/gpu")
    return name


def _label(name: str) -> str:
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{repeated(name)} is no node label; write for example nvidia.com/gpu.product")
    return name


def _label_value(value: str) -> str:
    if value and not re.fullmatch(_WORD, value):
        raise ValueError(f"{repeated(value)} is no label value; at most 63 letters, digits, dots, hyphens and underscores")
    return value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not contain line breaks or control characters")
    return text


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("must be a path inside the built environment, such as bin/code-server")
    return path


Text = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RangeModel(_Entry):
    """``{min, max, default}``, whole numbers with min ≤ default ≤ max."""

    min: Annotated[int, Field(ge=0, le=65536)]
    max: Annotated[int, Field(ge=0, le=65536)]
    default: Annotated[int, Field(ge=0, le=65536)]

    @field_validator("max")
    @classmethod
    def _max_not_below_min(cls, value: int, info: ValidationInfo) -> int:
        low = info.data.get("min", 0)
        if value < low:
            raise ValueError(f"max is {value} but min is {low}; max must not be below min")
        return value

    @field_validator("default")
    @classmethod
    def _default_between(cls, value: int, info: ValidationInfo) -> int:
        low, high = info.data.get("min", value), info.data.get("max", value)
        if not low <= value <= high:
            raise ValueError(f"default is {value}; it must be from {low} to {high}")
        return value

    def to_domain(self) -> Range:
        """Return the domain's range."""
        return Range(minimum=self.min, maximum=self.max, default=self.default)


class LimitModel(_Entry):
    """One limit: ``{dimension, amount}``, with ``gpu_type`` or ``window_days`` where they apply."""

    dimension: Text
    gpu_type: Text | None = None
    window_days: Annotated[int, Field(ge=1, le=366)] | None = Field(default=None, validate_default=True)
    amount: Any

    @field_validator("dimension")
    @classmethod
    def _known_dimension(cls, value: str) -> str:
        if value not in DIMENSIONS:
            raise ValueError(unknown("dimension", value, DIMENSIONS))
        return value

    @field_validator("gpu_type")
    @classmethod
    def _type_only_of_gpus(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("dimension", "gpus") != "gpus":
            raise ValueError("gpu_type applies to the dimension gpus only")
        return value

    @field_validator("window_days")
    @classmethod
    def _window_only_of_windowed(cls, value: int | None, info: ValidationInfo) -> int | None:
        dimension = DIMENSIONS.get(info.data.get("dimension", ""))
        if dimension is None or (dimension.kind is Kind.WINDOWED) == (value is not None):
            return value
        raise ValueError(
            f"window_days is missing; {dimension.name} counts the last days" if value is None else f"window_days does not apply to {dimension.name}"
        )

    @field_validator("amount")
    @classmethod
    def _exact_amount(cls, value: object, info: ValidationInfo) -> Decimal:
        dimension = DIMENSIONS.get(info.data.get("dimension", ""))
        amount = Decimal(0) if dimension is None else _amount(value, dimension.unit)
        if amount > MAX_AMOUNT:
            raise ValueError("the amount is too large")
        return amount

    def to_domain(self) -> LimitAmount:
        """Return the domain's limit."""
        return LimitAmount(dimension=self.dimension, amount=self.amount, gpu_type=self.gpu_type, window_days=self.window_days)


def _amount(value: object, unit: str) -> Decimal:
    if unit == "B":
        if type(value) is not str:
            raise ValueError("write the amount with its unit, for example 32 GiB")
        return Decimal(parse_bytes(value))
    if type(value) is int and value >= 0:
        return Decimal(min(value, MAX_AMOUNT + 1))
    if unit == "h" and type(value) is str and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise ValueError("the amount must be a whole number, 0 or more")


class EnvironmentTemplateModel(_Entry):
    """An entry of ``environment_templates.yaml``."""

    display_name: Text
    description: Text
    gpus: RangeModel
    memory_gib: RangeModel
    cpu_cores: RangeModel
    command: Annotated[list[Text], Field(min_length=1)]
    gpu_types: list[Text] = []
    default_url: Annotated[Text, Field(pattern=r"^/")] = "/lab"
    image: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] | None = None
    requires: list[Annotated[Text, AfterValidator(_relative)]] = []
    allowed_groups: list[Text] = []
    environment: dict[str, str] = {}
    container_image: Annotated[str, AfterValidator(_image)] | None = None
    shared_memory_gib: Annotated[int, Field(ge=1, le=65536)] | None = None
    contents: Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]], Field(max_length=12)] = []
    logo: Text = DEFAULT_LOGO

    @field_validator("logo")
    @classmethod
    def _known_logo(cls, value: str) -> str:
        if value not in LOGOS:
            raise ValueError(unknown("logo", value, LOGOS))
        return value

    @field_validator("gpus")
    @classmethod
    def _gpus_within_reason(cls, value: RangeModel) -> RangeModel:
        if value.max > MAX_GPUS:
            raise ValueError(f"max is {value.max}; an environment has at most {MAX_GPUS} GPUs")
        return value

    @field_validator("memory_gib", "cpu_cores")
    @classmethod
    def _at_least_one(cls, value: RangeModel) -> RangeModel:
        if value.min < 1:
            raise ValueError(f"min is {value.min}; it must be at least 1")
        return value

    @field_validator("shared_memory_gib")
    @classmethod
    def _within_memory(cls, value: int | None, info: ValidationInfo) -> int | None:
        memory = info.data.get("memory_gib")
        if value is not None and memory is not None and value > memory.max:
            raise ValueError(f"is {value}, more than the memory of the environment, of which it is a part; at most {memory.max}")
        return value

    def to_domain(self, name: str) -> EnvironmentTemplate:
        """Return the domain's environment template."""
        return EnvironmentTemplate(
            name=name,
            display_name=self.display_name,
            description=self.description,
            gpus=self.gpus.to_domain(),
            memory_gib=self.memory_gib.to_domain(),
            cpu_cores=self.cpu_cores.to_domain(),
            command=tuple(self.command),
            gpu_types=tuple(self.gpu_types),
            default_url=self.default_url,
            image=self.image,
            requires=tuple(self.requires),
            allowed_groups=tuple(self.allowed_groups),
            environment=dict(self.environment),
            container_image=self.container_image,
            shared_memory_gib=self.shared_memory_gib,
            contents=tuple(self.contents),
            logo=self.logo,
        )


class TierModel(_Entry):
    """An entry of ``tiers.yaml``."""

    display_name: Text
    priority: Annotated[int, Field(ge=-(10**6), le=10**6)]
    limits: list[LimitModel]
    groups: list[Text] = []

    def to_domain(self, name: str) -> Tier:
        """Return the domain's tier."""
        limits = tuple(limit.to_domain() for limit in self.limits)
        return Tier(name=name, display_name=self.display_name, priority=self.priority, limits=limits, groups=tuple(self.groups))


class GpuTypeModel(_Entry):
    """An entry of ``gpu_types.yaml``."""

    display_name: Text
    match: list[Annotated[Text, Field(pattern=r"^[^A-Z]+$")]] = []
    resource: Annotated[str, AfterValidator(_resource)] = GPU_RESOURCE
    product_label: Annotated[str, AfterValidator(_label)] = PRODUCT_LABEL

    def to_domain(self, name: str) -> GpuType:
        """Return the domain's GPU type."""
        return GpuType(name=name, display_name=self.display_name, match=tuple(self.match), resource=self.resource, product_label=self.product_label)


class NodePoolModel(_Entry):
    """An entry of ``node_pools.yaml``."""

    display_name: Text
    gpu_type: Text
    gpus_per_node: Annotated[int, Field(ge=1, le=MAX_GPUS)]
    memory_gib: Annotated[int, Field(ge=1, le=65536)]
    cpu_cores: Annotated[int, Field(ge=1, le=65536)]
    max_nodes: Annotated[int, Field(ge=0, le=1000)]
    minutes_to_start: Annotated[int, Field(ge=1, le=1440)]
    node_selector: Annotated[dict[Annotated[str, AfterValidator(_label)], Annotated[str, AfterValidator(_label_value)]], Field(min_length=1)]

    def to_domain(self, name: str) -> NodePool:
        """Return the domain's node pool."""
        return NodePool(
            name=name,
            display_name=self.display_name,
            gpu_type=self.gpu_type,
            gpus_per_node=self.gpus_per_node,
            max_nodes=self.max_nodes,
            minutes_to_start=self.minutes_to_start,
            node_selector=dict(self.node_selector),
            memory_gib=self.memory_gib,
            cpu_cores=self.cpu_cores,
        )


class ProjectModel(_Entry):
    """An entry of ``projects.yaml``."""

    display_name: Text
    cost_centre: Text
    groups: list[Text] = []
    is_personal: bool = False
    limits: list[LimitModel] = []
    leads: list[Text] = []

    def to_domain(self, name: str) -> Project:
        """Return the domain's project."""
        return Project(
            name=name,
            display_name=self.display_name,
            cost_centre=self.cost_centre,
            groups=tuple(self.groups),
            is_personal=self.is_personal,
            limits=tuple(limit.to_domain() for limit in self.limits),
            leads=tuple(dict.fromkeys(self.leads)),
        )


def _instant(value: object) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
        if instant is not None and instant.tzinfo is not None:
            return instant.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("write an instant with its time zone, for example 2026-01-01T00:00:00Z")


Instant = Annotated[datetime, BeforeValidator(_instant)]
"""Aware, in UTC."""
