"""What the platform offers, as values: environment templates, tiers, GPU types, projects, rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from aiplatform_hub.domain.off_peak import OffPeak
from aiplatform_hub.domain.pods import GPU_RESOURCE, PRODUCT_LABEL

ANY_GPU_TYPE = "*"
"""In a rate: every GPU type that has no rate of its own."""

OTHER_GPU_TYPE = "other"
"""The type of a GPU whose product name fits no type."""

SIMULATED_GPU_TYPE = "simulated"
"""The type of pretend GPUs."""

_PARTS = ("mig", "shared")
"""Words in a product name that mean a part of a GPU."""

DEFAULT_TIER = "default"
"""The tier of a person who has no other."""

DEFAULT_LOGO = "box"
"""The picture of an environment template that names none."""

LOGOS = (DEFAULT_LOGO, "chart", "code", "flame", "gpus", "notebook", "tensor", "terminal")
"""Pictures that an environment template's card can have."""


@dataclass(frozen=True, slots=True)
class Range:
    """An allowed range of whole numbers, both ends included, with its default."""

    minimum: int
    maximum: int
    default: int


@dataclass(frozen=True, slots=True)
class EnvironmentTemplate:
    """One environment that a user can start."""

    name: str
    display_name: str
    description: str
    gpus: Range
    memory_gib: Range
    cpu_cores: Range
    command: tuple[str, ...]
    """Program and arguments on one machine; a program without a slash is looked up in the built environment, then in the hub's own."""
    gpu_types: tuple[str, ...] = ()
    """Allowed GPU types; empty means every type."""
    default_url: str = "/lab"
    """Path that opens after the start."""
    image: str | None = None
    """Folder under ``images/`` that defines the environment; None means the hub's own Python environment."""
    requires: tuple[str, ...] = ()
    """Programs, relative to the built environment (``bin/code-server``), that must exist before it can start."""
    allowed_groups: tuple[str, ...] = ()
    """JupyterHub groups that may use it; empty means everyone."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Extra environment variables of the server's process."""
    container_image: str | None = None
    """In a cluster: a whole image reference, or a name without slash and colon that settings complete; None means ``image``."""
    shared_memory_gib: int | None = None
    """In a cluster: size of ``/dev/shm``, part of the session's memory; None means half of it."""
    contents: tuple[str, ...] = ()
    """Packages to name on its card; their versions are read from the lock of its environment."""
    logo: str = DEFAULT_LOGO
    """One of :data:`LOGOS`."""


@dataclass(frozen=True, slots=True)
class LimitAmount:
    """A limit as a tier or project states it, not yet bound to a person."""

    dimension: str
    amount: Decimal
    gpu_type: str | None = None
    """For ``gpus`` only: the type it limits; None limits the total."""
    window_days: int | None = None
    """For windowed dimensions only: the length of the rolling window in days."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A named set of limits for a person."""

    name: str
    display_name: str
    priority: int
    """The highest one wins where a person has several tiers."""
    limits: tuple[LimitAmount, ...]
    groups: tuple[str, ...] = ()
    """Members of these JupyterHub groups have this tier."""


@dataclass(frozen=True, slots=True)
class GpuType:
    """A kind of GPU."""

    name: str
    """The word used everywhere, for example ``h100``."""
    display_name: str
    match: tuple[str, ...] = ()
    """Lower-case fragments of product names, as NVML or a node's label says them, that mean this type."""
    resource: str = GPU_RESOURCE
    """In a cluster: the resource that a pod asks for, for example ``nvidia.com/mig-1g.10gb``."""
    product_label: str = PRODUCT_LABEL
    """In a cluster: the node's label that names the product."""


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes that a cluster's autoscaler may start."""

    name: str
    display_name: str
    gpu_type: str
    gpus_per_node: int
    max_nodes: int
    """Nodes that may exist at once, those that run included."""
    minutes_to_start: int
    """What a new node usually takes until it is ready, in minutes."""
    node_selector: Mapping[str, str]
    """Labels that its nodes carry."""
    memory_gib: int = 0
    """Memory that pods can have on one node, in GiB."""
    cpu_cores: int = 0
    """CPU cores that pods can have on one node."""


def gpu_type_of(product_name: str, gpu_types: Mapping[str, GpuType]) -> str:
    """Return the type of a product name; the longest matching fragment wins.

    A part of a GPU (a MIG slice, a time-shared one) only fits fragments that say so: it is never sold as a whole one.
    """
    product = _spaced(product_name)
    parts = {word for word in _PARTS if word in product.split()}
    fragments = [(_spaced(fragment), name) for name, gpu_type in gpu_types.items() for fragment in gpu_type.match]
    found = [(len(fragment), name) for fragment, name in fragments if fragment in product and parts <= set(fragment.split())]
    return max(found)[1] if found else OTHER_GPU_TYPE


def _spaced(name: str) -> str:
    """Return a name in lower case with spaces: a node's label cannot have them."""
    return name.lower().replace("-", " ").replace("_", " ")


@dataclass(frozen=True, slots=True)
class CostCentre:
    """Who pays."""

    name: str
    display_name: str
    legal_entity: str | None = None
    """Which :class:`LegalEntity` sends its invoices; None means that it gets none."""
    code: str = ""
    """What it is called in the books; on invoices."""
    address: tuple[str, ...] = ()
    """Lines of its postal address, without the country; on invoices."""
    country: str = ""
    """ISO 3166-1 alpha-2 code."""
    tax_id: str = ""
    """Its number for value added tax."""
    email: str = ""
    """Where electronic invoices go."""


@dataclass(frozen=True, slots=True)
class LegalEntity:
    """Who sends invoices."""

    name: str
    display_name: str
    """Its full legal name."""
    address: tuple[str, ...]
    """Lines of its postal address, without the country."""
    country: str
    """ISO 3166-1 alpha-2 code."""
    number_prefix: str
    """What its invoice numbers begin with; no two entities have the same."""
    currency: str
    """ISO 4217 code, or ``credits``."""
    tax_id: str = ""
    """Its number for value added tax."""
    tax_percent: Decimal | None = None
    """Tax on its invoices; None means that it charges none."""
    payment_days: int = 30
    """Days from the issue until an invoice is due."""
    payment_account: str = ""
    """Where to pay, in words; beside or in place of an IBAN."""
    iban: str = ""
    """Account to pay to, without spaces."""
    bic: str = ""
    """Of its bank."""
    registration_id: str = ""
    """Its number in a register of companies or institutions."""
    email: str = ""
    """Where to ask about its invoices."""
    logo: bytes = b""
    """A PNG or JPEG for its invoices; empty without one."""
    accounting_url: str = ""
    """Where its accounting takes what becomes of invoices; empty where it takes none."""


@dataclass(frozen=True, slots=True)
class Project:
    """A group of people that share limits and a cost centre."""

    name: str
    display_name: str
    cost_centre: str
    groups: tuple[str, ...] = ()
    """JupyterHub groups whose members belong to it."""
    is_personal: bool = False
    """True for the one project that everybody has and that is taken when none is named and no other fits."""
    limits: tuple[LimitAmount, ...] = ()
    """The shared pool: all members' open allocations together."""
    leads: tuple[str, ...] = ()
    """Names of the people who answer for it: they are told each month what it used."""


class Share(StrEnum):
    """Who pays for GPUs that nobody held."""

    NONE = "none"
    """Nobody: it is a line of its own."""
    EVENLY = "evenly"
    """Each cost centre the same."""
    PROPORTIONALLY = "proportionally"
    """Each as much as the GPU time costs that its sessions held, without discounts."""


@dataclass(frozen=True, slots=True)
class Unallocated:
    """What becomes of usable GPUs that no session held."""

    share: Share = Share.NONE
    gpu_hour: Mapping[str, Decimal] = field(default_factory=dict)
    """Price of one such GPU for one hour by GPU type, ``*`` for every other type; what is not here costs as if it were used."""
    cost_centres: tuple[str, ...] = ()
    """Who shares evenly; empty means each that was charged something."""


@dataclass(frozen=True, slots=True)
class RateCard:
    """Prices in force from an instant until the next card begins."""

    version: str
    effective_from: datetime
    """Aware UTC, inclusive."""
    currency: str
    """ISO 4217 code, or ``credits``."""
    gpu_hour: Mapping[str, Decimal]
    """Price of one GPU for one hour by GPU type; ``*`` for every other type."""
    cpu_only_hour: Decimal
    """Price of one hour of an environment without GPUs."""
    cpu_core_hour: Decimal = Decimal(0)
    """Price of one CPU core for one hour, beside what the GPUs or the environment cost."""
    memory_gib_hour: Decimal = Decimal(0)
    storage_gib_month: Decimal = Decimal(0)
    """Price of one GiB of a person's storage for one calendar month (UTC)."""
    idle_gpu_hour: Mapping[str, Decimal] = field(default_factory=dict)
    """Price of one idle GPU for one hour by GPU type, ``*`` for every other type; what is not here costs the same idle as used."""
    off_peak: OffPeak | None = None
    tier_discount_percent: Mapping[str, Decimal] = field(default_factory=dict)
    """By tier of the person when the session was decided on; it and a project's discount are taken one after the other."""
    project_discount_percent: Mapping[str, Decimal] = field(default_factory=dict)
    unallocated: Unallocated = Unallocated()


@dataclass(frozen=True, slots=True)
class CarbonFactor:
    """How much carbon is behind the energy of whole days (UTC), from one day until the next factor begins."""

    name: str
    effective_from: datetime
    """Begin of the first day, aware UTC."""
    grams_per_kwh: Decimal
    """Grams of CO2 equivalents."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything on offer."""

    environment_templates: Mapping[str, EnvironmentTemplate]
    tiers: Mapping[str, Tier]
    gpu_types: Mapping[str, GpuType]
    projects: Mapping[str, Project]
    cost_centres: Mapping[str, CostCentre]
    rate_cards: tuple[RateCard, ...]
    """In order of ``effective_from``; never empty."""
    default_tier: str = DEFAULT_TIER
    node_pools: Mapping[str, NodePool] = field(default_factory=dict)
    legal_entities: Mapping[str, LegalEntity] = field(default_factory=dict)
    carbon_factors: tuple[CarbonFactor, ...] = ()
    """In order of ``effective_from``."""

    @property
    def personal_project(self) -> Project | None:
        """The one project that everybody has; None where nobody has one, as without files."""
        return next((project for project in self.projects.values() if project.is_personal), None)

    def projects_of(self, groups: frozenset[str], members_of: frozenset[str]) -> tuple[Project, ...]:
        """Return the projects a person with these groups and memberships may charge, the personal one last."""
        mine = [p for p in self.projects.values() if not p.is_personal and (groups & set(p.groups) or p.name in members_of)]
        personal = [p for p in self.projects.values() if p.is_personal]
        return (*sorted(mine, key=lambda p: p.name), *personal)
