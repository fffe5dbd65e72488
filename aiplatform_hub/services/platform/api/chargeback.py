"""Chargeback by cost centre, for admins and billing viewers; and whether a lead wants the monthly mail."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field

from aiplatform_hub.domain.catalog import Share
from aiplatform_hub.domain.chargeback import Chargeback, ChargebackRow
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.reports.chargeback_csv import chargeback_csv
from aiplatform_hub.services.platform.api.billing import check_billing
from aiplatform_hub.services.platform.auth import BILLING, READ, START
from aiplatform_hub.services.platform.base import ApiHandler, PlatformHandler
from aiplatform_hub.services.platform.bodies import invalid, read_change
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Money, Output

FORMATS = ("json", "csv")


class ChargebackRowOut(Output):
    """What one cost centre owes."""

    cost_centre: str | None = Field(description="Null for what nobody pays, and in totals")
    currency: str
    used_gpu_hours: Money = Field(description="GPU-hours that its sessions held and are not known to have left idle")
    idle_gpu_hours: Money = Field(description="GPU-hours that its sessions held idle")
    unallocated_gpu_hours: Money = Field(description="Its share of the GPU-hours that nobody held")
    used_cost: Money = Field(description="Of `used_gpu_hours`, without discounts")
    idle_cost: Money = Field(description="Of `idle_gpu_hours`, without discounts")
    other_cost: Money = Field(description="Of environments without GPUs, cores, memory and storage, without discounts")
    discount: Money
    unallocated_cost: Money
    total: Money = Field(description="The costs less the discount")
    credits: Money = Field(description="What credits paid of it")
    net_total: Money = Field(description="The total less the credits")
    rate_cards: tuple[str, ...] = Field(description="Versions of the cards that priced it")


class TypeHoursOut(Output):
    """What became of the GPUs of one type: `total` is the sum of the others."""

    gpu_type: str
    total_gpu_hours: Money
    used_gpu_hours: Money
    idle_gpu_hours: Money
    unallocated_gpu_hours: Money


class CardShareOut(Output):
    """Who pays for GPUs that nobody held, while a card was in force."""

    rate_card: str
    share: str = Field(description=f"One of {', '.join(f'`{share.value}`' for share in Share)}")


class ChargebackOut(Output):
    """A month by cost centre."""

    month: str
    start: Instant
    end: Instant = Field(description="Exclusive")
    complete_until: Instant = Field(description="Before it no session is open any more; `end` where nothing can change")
    capacity_known_from: Instant | None = Field(description="Since when it is known what there was; before that, nothing is unallocated")
    shares: tuple[CardShareOut, ...]
    rows: tuple[ChargebackRowOut, ...]
    totals: tuple[ChargebackRowOut, ...] = Field(description="One of each currency")
    gpu_types: tuple[TypeHoursOut, ...]


class ShowbackOut(Output):
    """The monthly mail about the projects that the caller leads."""

    is_lead: bool = Field(description="Whether the caller leads a project")
    is_wanted: bool


class ShowbackBody(Input):
    """Whether the caller wants it."""

    is_wanted: bool


class ChargebackHandler(ApiHandler):
    """``GET reports/chargeback``."""

    async def get(self) -> None:
        """Answer with a month by cost centre."""
        check_billing(self)
        name = self.get_query_argument("format", "json")
        if name not in FORMATS:
            raise invalid("format", f"There is no format {name!r}; use one of {', '.join(FORMATS)}.", FORMATS)
        month = self.get_query_argument("month", "") or month_before(self.platform.factory.clock())
        found = await self.platform.run(self.platform.factory.chargeback.of_month, month)
        if name == "csv":
            send_csv(self, found)
        else:
            self.reply(chargeback_out(found))


class ShowbackHandler(ApiHandler):
    """``GET`` and ``PUT showback``."""

    async def get(self) -> None:
        """Answer with whether the caller gets the mail."""
        self.reply(await self._choice())

    async def put(self) -> None:
        """Switch it on or off."""
        name = self.principal.name
        if not self.principal.is_user:
            raise NotFoundError("A service gets no mail.")
        await self.require(START, name)
        body = read_change(ShowbackBody, self.body_object())
        await self.platform.run(self.platform.factory.showback.choose, name, is_wanted=body.is_wanted)
        self.reply(await self._choice())

    async def _choice(self) -> ShowbackOut:
        showback, name = self.platform.factory.showback, self.principal.name
        return ShowbackOut(is_lead=showback.is_lead(name), is_wanted=await self.platform.run(showback.is_wanted, name))


def month_before(now: datetime) -> str:
    """Return the month (UTC) before that of an instant."""
    return f"{now.replace(day=1) - timedelta(days=1):%Y-%m}"


def send_csv(handler: PlatformHandler, found: Chargeback) -> None:
    """Answer with a file."""
    handler.set_header("Content-Type", "text/csv; charset=utf-8")
    handler.set_header("Content-Disposition", f'attachment; filename="chargeback-{found.start:%Y-%m}.csv"')
    handler.finish(chargeback_csv(found))


def chargeback_out(found: Chargeback) -> ChargebackOut:
    """Return a month as the REST API shows it."""
    return ChargebackOut(
        month=f"{found.start:%Y-%m}",
        start=found.start,
        end=found.end,
        complete_until=found.complete_until,
        capacity_known_from=found.capacity_known_from,
        shares=tuple(CardShareOut(rate_card=version, share=share.value) for version, share in found.shares),
        rows=tuple(map(_row, found.rows)),
        totals=tuple(map(_row, found.totals)),
        gpu_types=tuple(TypeHoursOut(gpu_type=each.gpu_type, **each.hours) for each in found.gpu_types),
    )


def _row(row: ChargebackRow) -> ChargebackRowOut:
    return ChargebackRowOut(cost_centre=row.cost_centre, currency=row.currency, rate_cards=row.rate_cards, **row.numbers)


RESOURCES = (
    Resource(
        ChargebackHandler,
        (
            Route(
                method="GET",
                path="api/v1/reports/chargeback",
                summary="What each cost centre owes for a month: used and idle time, its share of what nobody held, discounts",
                description="For admins and billing viewers. A month that is over and closed says the same at any time; one that runs counts until now.",
                scope=READ,
                other_scope=BILLING,
                parameters=(
                    Parameter("month", "A UTC month such as 2026-11; last month by default", {"type": "string", "pattern": r"^\d{4}-\d{2}$"}),
                    Parameter("format", "Of the answer; json by default", {"enum": list(FORMATS)}),
                ),
                replies={200: Reply("The month", ChargebackOut, other_media_types=("text/csv",))},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        ShowbackHandler,
        (
            Route(
                method="GET",
                path="api/v1/showback",
                summary="Whether the caller gets a mail each month about the projects that they lead",
                scope=READ,
                replies={200: Reply("The choice", ShowbackOut)},
            ),
            Route(
                method="PUT",
                path="api/v1/showback",
                summary="Switch that mail on or off",
                scope=START,
                body=ShowbackBody,
                replies={200: Reply("The choice", ShowbackOut)},
                errors=(400, 404),
            ),
        ),
    ),
)
