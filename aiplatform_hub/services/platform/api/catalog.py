"""What the platform offers, what is free, and its own description."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import ANY_GPU_TYPE, EnvironmentTemplate, Range, RateCard, Tier
from aiplatform_hub.domain.contents import Package
from aiplatform_hub.domain.dimensions import DIMENSIONS
from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import inside_of_templates, unavailable_templates
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.launch_models import PackageOut
from aiplatform_hub.services.platform.models import (
    CapacityOut,
    CatalogOut,
    EnvironmentTemplateOut,
    GpuCapacityOut,
    GpuOut,
    GpuTypeOut,
    ProjectOut,
    RangeOut,
    TierLimitOut,
    TierOut,
)
from aiplatform_hub.services.platform.queue_views import QueueViews
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route


class CatalogHandler(ApiHandler):
    """``GET catalog``."""

    async def get(self) -> None:
        """Answer with templates, tiers, GPU types with prices, and the caller's projects; for admins those of anybody."""
        factory = self.platform.factory
        groups, projects = await self._groups()
        card = card_at(await self.platform.run(factory.rate_cards), factory.clock())
        here = [entry.name for entry in await self.platform.run(factory.enforcer.capacity)]
        catalog = CatalogOut(
            environment_templates=tuple(await self.platform.run(self._templates, here, groups)),
            tiers=tuple(tier_out(tier) for tier in factory.catalog.tiers.values()),
            gpu_types=tuple(gpu_type_out(kind.name, kind.display_name, card) for kind in factory.catalog.gpu_types.values()),
            projects=tuple(
                ProjectOut(name=project.name, display_name=project.display_name, cost_centre=project.cost_centre)
                for project in factory.catalog.projects_of(groups, projects)
            ),
            currency=card.currency,
            cpu_only_price_per_hour=card.cpu_only_hour,
        )
        self.reply(catalog)

    async def _groups(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return groups and memberships of whoever the catalogue is for."""
        as_user = self.get_query_argument("as_user", "")
        if not as_user:
            return self.principal.groups, await self.platform.run(self.platform.factory.memberships.projects_of, self.principal.name)
        if not self.principal.sees_everybody:
            raise insufficient_scope(READ)
        caller = await self.platform.sessions.caller(as_user)
        return caller.groups, caller.projects

    def _templates(self, here: list[str], groups: frozenset[str]) -> list[EnvironmentTemplateOut]:
        """Look, in a thread, for what can be started here."""
        factory = self.platform.factory
        unavailable = unavailable_templates(factory.catalog, factory.settings, factory.enforcer)
        inside = inside_of_templates(factory.catalog, factory.settings)
        return [template_out(t, here, not_for(t, groups) or unavailable.get(t.name), inside[t.name]) for t in factory.catalog.environment_templates.values()]


def not_for(template: EnvironmentTemplate, groups: frozenset[str]) -> str | None:
    """Return why a template is not for members of these groups, or None."""
    if template.allowed_groups and not groups & set(template.allowed_groups):
        return f"For members of {' or '.join(template.allowed_groups)} only."
    return None


def range_out(allowed: Range) -> RangeOut:
    """Return a range as it is sent."""
    return RangeOut(min=allowed.minimum, max=allowed.maximum, default=allowed.default)


def template_out(template: EnvironmentTemplate, here: list[str], reason: str | None, inside: Iterable[Package]) -> EnvironmentTemplateOut:
    """Return an environment template as it is sent; ``here`` are the GPU types of this place."""
    return EnvironmentTemplateOut(
        name=template.name,
        display_name=template.display_name,
        description=template.description,
        gpus=range_out(template.gpus),
        gpu_types=tuple(name for name in here if not template.gpu_types or name in template.gpu_types),
        memory_gib=range_out(template.memory_gib),
        cpu_cores=range_out(template.cpu_cores),
        available=reason is None,
        unavailable_reason=reason,
        contents=tuple(PackageOut(name=package.name, version=package.version) for package in inside),
        logo=template.logo,
    )


def tier_out(tier: Tier) -> TierOut:
    """Return a tier as it is sent."""
    limits = tuple(
        TierLimitOut(dimension=x.dimension, amount=x.amount, unit=DIMENSIONS[x.dimension].unit, gpu_type=x.gpu_type, window_days=x.window_days)
        for x in tier.limits
    )
    return TierOut(name=tier.name, display_name=tier.display_name, limits=limits)


def gpu_type_out(name: str, display_name: str, card: RateCard) -> GpuTypeOut:
    """Return a GPU type with its price of now."""
    price = card.gpu_hour.get(name, card.gpu_hour.get(ANY_GPU_TYPE))
    return GpuTypeOut(name=name, display_name=display_name, price_per_gpu_hour=price, currency=card.currency)


class CapacityHandler(ApiHandler):
    """``GET capacity``."""

    async def get(self) -> None:
        """Answer with the GPUs by type, and for who may see everybody's sessions with each of them."""
        capacity = await self.platform.run(capacity_out, self.platform.factory)
        if self.principal.sees_everybody:
            capacity = capacity.model_copy(update={"gpus": await self.platform.run(gpus_out, self.platform.factory)})
        self.reply(capacity)


def capacity_out(factory: Factory) -> CapacityOut:
    """Return what is free now. Reads the database."""
    types = tuple(
        GpuCapacityOut(
            name=entry.name,
            total=entry.total,
            free=entry.free,
            held=entry.held,
            unhealthy=entry.unhealthy,
            drained=entry.drained,
            simulated=entry.total if entry.simulated else 0,
            startable=entry.startable,
            minutes_to_start=entry.minutes_to_start,
        )
        for entry in factory.enforcer.capacity()
    )
    return CapacityOut(gpu_types=types, queue_length=QueueViews(factory).length(), as_of=factory.clock())


def gpus_out(factory: Factory) -> tuple[GpuOut, ...]:
    """Return each GPU, who holds it, and what it does now. Reads the database."""
    with factory.database.read() as connection:
        pool = factory.devices.pool(connection)
        holders = factory.allocations.leased(connection)
        samples = factory.activity.fresh_samples(connection, factory.clock())
    return tuple(_gpu_out(device, holders.get(device.uuid), samples.get(device.uuid)) for device in (pool.devices if pool else ()))


def _gpu_out(device: GpuDevice, holder: UUID | None, sample: GpuSample | None) -> GpuOut:
    return GpuOut(
        uuid=device.uuid,
        index=device.index,
        gpu_type=device.gpu_type,
        memory_bytes=device.memory_bytes,
        is_healthy=device.is_healthy,
        is_drained=device.is_drained,
        is_simulated=device.is_simulated,
        allocation_id=holder,
        utilisation_percent=sample.utilisation_percent if sample else None,
        memory_used_bytes=sample.memory_bytes if sample else None,
        sampled_at=sample.at if sample else None,
    )


RESOURCES = (
    Resource(
        CatalogHandler,
        (
            Route(
                method="GET",
                path="api/v1/catalog",
                summary="What can be launched, by whom, at which price",
                scope=READ,
                parameters=(Parameter("as_user", "As this person sees it; for admins", {"type": "string"}),),
                replies={200: Reply("The catalogue", CatalogOut)},
                errors=(404,),
            ),
        ),
    ),
    Resource(
        CapacityHandler,
        (
            Route(
                method="GET",
                path="api/v1/capacity",
                summary="GPUs by type: total, free, held; how many requests wait; for admins what each GPU does now",
                scope=READ,
                replies={200: Reply("The capacity", CapacityOut)},
            ),
        ),
    ),
)
