"""A person's quota, and dry runs of a launch."""

from __future__ import annotations

from aiplatform_hub.domain.announcements import planned_end
from aiplatform_hub.domain.charges import Sku
from aiplatform_hub.domain.limits import LimitUsage
from aiplatform_hub.domain.options import options_of
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.session_terms import planned_cost
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.decision_reader import must_end_of
from aiplatform_hub.operations.session_prices import HourlyPrice
from aiplatform_hub.services.platform.alternatives import alternative_out
from aiplatform_hub.services.platform.auth import READ, START
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import options_in, read_body, target_user
from aiplatform_hub.services.platform.budget_models import after_out
from aiplatform_hub.services.platform.launch_models import terms_out
from aiplatform_hub.services.platform.models import DecisionOut, LimitOut, MaintenanceOut, PriceLine, PriceOut, QuotaOut, WhatIfBody, reasons_of
from aiplatform_hub.services.platform.queue_views import wait_out
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.terms import terms_of_launch


class QuotaHandler(ApiHandler):
    """``GET users/{user}/quota``."""

    async def get(self, user_name: str) -> None:
        """Answer with each limit, what is used of it and by what."""
        await self.require(READ, user_name)
        caller = await self.platform.sessions.caller(user_name)
        self.reply(await self.platform.run(quota_out, self.platform.factory, caller))


def quota_out(factory: Factory, caller: Caller) -> QuotaOut:
    """Return a person's tier and limits. Reads the database."""
    rows = factory.enforcer.quota_of(caller)
    return QuotaOut(user=caller.user_name, tier=factory.enforcer.tier_name(caller), limits=tuple(limit_out(row) for row in rows), as_of=factory.clock())


def limit_out(row: LimitUsage) -> LimitOut:
    """Return a limit as it is sent."""
    limit = row.limit
    return LimitOut(
        scope=limit.owner,
        dimension=limit.dimension,
        limit=limit.amount,
        used=row.used,
        free=row.free,
        unit=row.unit,
        gpu_type=limit.gpu_type,
        window_days=limit.window_days,
        source=limit.source,
        held_by=row.held_by,
    )


class DecisionsHandler(ApiHandler):
    """``POST decisions``."""

    async def post(self) -> None:
        """Answer with what a launch would get now."""
        body = read_body(WhatIfBody, self.body_object())
        user_name = target_user(body, self.principal)
        await self.require(START, user_name)
        request, preview = await self.platform.sessions.decide(options_in(body), user_name, may_wait=body.if_full == "queue")
        factory, decision = self.platform.factory, preview.decision
        others = await self.platform.sessions.alternatives(request, user_name) if body.alternatives else ()
        caller = await self.platform.sessions.caller(user_name)
        price = price_out(request, await self.platform.run(factory.session_prices.of, caller, request))
        after = await self.platform.run(factory.budgets.after, user_name, request, price.per_hour, price.currency)
        terms = await self.platform.run(terms_of_launch, factory, None if request.gpus else caller, request)
        self.reply(
            DecisionOut(
                outcome=decision.outcome.value,
                code=decision.error_code,
                reasons=reasons_of(decision.reasons),
                price=price,
                terms=terms_out(terms, planned_cost(price.per_hour, request.max_hours)),
                budgets=tuple(after_out(each) for each in after),
                options=options_of(request),
                position=preview.position,
                must_end_at=must_end_of(decision),
                maintenance=await self.platform.run(maintenance_of, factory, request),
                wait=wait_out(preview.wait, factory.clock()),
                alternatives=tuple(alternative_out(other, factory) for other in others),
            )
        )


def maintenance_of(factory: Factory, request: LaunchRequest) -> tuple[MaintenanceOut, ...]:
    """Return the maintenance windows that a start now would reach into."""
    now = factory.clock()
    windows = factory.announcements.in_the_way(now, planned_end(now, request.max_hours))
    return tuple(MaintenanceOut(announcement_id=one.id, starts_at=one.starts_at, ends_at=one.ends_at, text=one.text) for one in windows)


_LABELS = {
    Sku.IDLE_GPU_HOUR: "idle GPU",
    Sku.CPU_ONLY_HOUR: "environment without GPUs",
    Sku.CPU_CORE_HOUR: "CPU core",
    Sku.MEMORY_GIB_HOUR: "GiB of memory",
}


def price_out(request: LaunchRequest, found: HourlyPrice) -> PriceOut:
    """Return what an hour of a request costs as it is sent."""
    lines = tuple(
        PriceLine(label=_LABELS.get(line.sku, f"{request.gpu_type} GPU"), quantity=line.units, unit_price=line.price, per_hour=line.per_hour)
        for line in found.lines
    )
    return PriceOut(currency=found.card.currency, per_hour=found.per_hour, lines=lines, rate_card=found.card.version)


RESOURCES = (
    Resource(
        QuotaHandler,
        (
            Route(
                method="GET",
                path="api/v1/users/{user}/quota",
                summary="A person's tier and limits, and what is used of them",
                scope=READ,
                replies={200: Reply("The quota", QuotaOut)},
                errors=(404,),
            ),
        ),
    ),
    Resource(
        DecisionsHandler,
        (
            Route(
                method="POST",
                path="api/v1/decisions",
                summary="Dry run of a launch; holds and queues nothing",
                scope=START,
                body=WhatIfBody,
                replies={200: Reply("What a launch would get now", DecisionOut)},
                errors=(400, 404),
            ),
        ),
    ),
)
