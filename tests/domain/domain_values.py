"""Small values that the domain's tests share."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState, GpuDevice
from aiplatform_hub.domain.catalog import Catalog, CostCentre, EnvironmentTemplate, GpuType, LimitAmount, Project, Range, RateCard, Tier
from aiplatform_hub.domain.limits import Capacity, DeviceState, Limit
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.domain.usage import UsageInterval

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE = Caller(1, "alice", frozenset({"vision"}))
BOB = Caller(2, "bob", frozenset({"vision"}))


ONE_OF_FOUR = Range(0, 4, 1)


def template(name, *, gpus=ONE_OF_FOUR, gpu_types=(), allowed_groups=()):
    return EnvironmentTemplate(
        name=name,
        display_name=name,
        description=name,
        gpus=gpus,
        memory_gib=Range(1, 64, 16),
        cpu_cores=Range(1, 16, 4),
        command=("jupyterhub-singleuser",),
        gpu_types=gpu_types,
        allowed_groups=allowed_groups,
    )


def card(version, effective_from, *, h100="3.20", other="1.00", cpu="0.04", currency="EUR"):
    return RateCard(version, effective_from, currency, {"h100": Decimal(h100), "*": Decimal(other)}, Decimal(cpu))


CATALOG = Catalog(
    environment_templates={
        t.name: t
        for t in (
            template("pytorch"),
            template("jupyterlab", gpus=Range(0, 4, 0)),
            template("big", gpus=Range(2, 8, 4), gpu_types=("l4", "h100")),
            template("secret", allowed_groups=("staff",)),
        )
    },
    tiers={
        t.name: t
        for t in (
            Tier("default", "Default", 10, (LimitAmount("gpus", Decimal(2)), LimitAmount("environments", Decimal(5)))),
            Tier("premium", "Premium", 20, (LimitAmount("gpus", Decimal(4)),), ("phd", "staff")),
            Tier("guest", "Guest", 5, (LimitAmount("gpus", Decimal(0)),), ("guest",)),
        )
    },
    gpu_types={name: GpuType(name, name.upper()) for name in ("h100", "l4", "other", "simulated")},
    projects={
        p.name: p
        for p in (
            Project("personal", "Personal", "personal", is_personal=True),
            Project("vision", "Vision", "lab", ("vision",), limits=(LimitAmount("gpus", Decimal(3)),)),
            Project("nlp", "Language", "lab", ("nlp",)),
        )
    },
    cost_centres={name: CostCentre(name, name) for name in ("personal", "lab")},
    rate_cards=(card("2026-01", datetime(2026, 1, 1, tzinfo=UTC)),),
)


def request(gpus=1, *, gpu_type="h100", memory_gib=4, cpu_cores=1, project="vision", max_hours=None):
    return LaunchRequest("pytorch", gpus, gpu_type if gpus else None, memory_gib * GIB, cpu_cores, project, "lab", max_hours)


def allocation(number, caller=ALICE, *, server_name=None, state=AllocationState.ACTIVE, devices=(), **wanted):
    return Allocation(
        id=UUID(int=number),
        user_id=caller.user_id,
        user_name=caller.user_name,
        server_name=f"train-{number}" if server_name is None else server_name,
        spawner_id=number,
        request=request(**wanted),
        state=state,
        devices=devices,
        door="rest",
        actor=caller.user_name,
        requested_at=NOW,
    )


def machine(*gpu_types, memory_gib=256, cpu_cores=16, held=(), unhealthy=()):
    """Return a machine with one GPU per type given; ``held`` and ``unhealthy`` are positions."""
    devices = tuple(
        DeviceState(GpuDevice(f"GPU-{i}", gpu_type, 80 * GIB, is_healthy=i not in unhealthy, index=i), UUID(int=900 + i) if i in held else None)
        for i, gpu_type in enumerate(gpu_types)
    )
    return Capacity(memory_gib * GIB, cpu_cores, devices)


def user_limit(dimension, amount, **more):
    return Limit("user", "alice", dimension, Decimal(amount), source="tier default", **more)


def pool_limit(dimension, amount, **more):
    return Limit("project", "vision", dimension, Decimal(amount), source="project vision", **more)


def interval(start, end, *, gpus=1, gpu_type="h100", **more):
    values = {
        "id": UUID(int=7),
        "allocation_id": UUID(int=8),
        "user_id": 1,
        "user_name": "alice",
        "project": "vision",
        "cost_centre": "lab",
        "environment_template": "pytorch",
        "gpus": gpus,
        "gpu_type": gpu_type if gpus else None,
        "memory_bytes": 4 * GIB,
        "cpu_cores": 1,
        "started_at": start,
        "ended_at": end,
    }
    return UsageInterval(**{**values, **more})
