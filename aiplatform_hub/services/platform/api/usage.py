"""Usage and costs over a span of time."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from aiplatform_hub.operations.cost_reporter import GROUPS, Report, ReportRow, UsageQuery
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import instant, invalid
from aiplatform_hub.services.platform.models import ReportOut, ReportRowOut
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.storage.usage_sums import COLUMNS


class ReportHandler(ApiHandler):
    """What ``usage``, ``costs`` and ``reports`` share."""

    groups: tuple[str, ...] = GROUPS
    """What can be grouped by."""

    async def query(self) -> UsageQuery:
        """Return the question; a caller who does not see everybody asks about themselves.

        Raises
        ------
        AIPlatformError
            If a value is wrong or it is about somebody else.
        """
        filters: dict[str, Any] = {name: self.get_query_argument(name) for name in COLUMNS if name != "allocation" and self.get_query_argument(name, None)}
        if self.principal.reads_billing:
            pass
        elif "user" in filters:
            await self.require(READ, filters["user"])
        elif not self.principal.sees_everybody:
            await self.require(READ, self.principal.name)
            filters["user"] = self.principal.name
        start, end = self.span()
        return UsageQuery(start, end, group_by=self._groups(), filters=filters)

    def span(self) -> tuple[datetime, datetime]:
        """Return the span asked for; this month until now by default."""
        now = self.platform.factory.clock()
        month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        start, end = self.get_query_argument("from", None), self.get_query_argument("to", None)
        return month if start is None else instant(start, "from"), now if end is None else instant(end, "to")

    def _groups(self) -> tuple[str, ...]:
        words = tuple(word for text in self.get_query_arguments("group_by") for word in text.split(",") if word)
        for word in words:
            if word not in self.groups:
                raise invalid("group_by", f"group_by must be among {', '.join(self.groups)}.", self.groups)
        return tuple(dict.fromkeys(words))

    def answer(self, report: Report) -> None:
        """Answer with a report."""
        self.reply(report_out(report))


class UsageHandler(ReportHandler):
    """``GET usage``."""

    async def get(self) -> None:
        """Answer with metered time."""
        query = await self.query()
        self.answer(await self.platform.run(self.platform.factory.reporter.usage, query))


class CostsHandler(ReportHandler):
    """``GET costs``."""

    async def get(self) -> None:
        """Answer with metered time and its price."""
        query = await self.query()
        self.answer(await self.platform.run(self.platform.factory.reporter.costs, query))


def report_out(report: Report) -> ReportOut:
    """Return a report as it is sent."""
    return ReportOut.model_validate(
        {
            "from": report.start,
            "to": report.end,
            "complete_until": report.complete_until,
            "rows": tuple(_row(row) for row in report.rows),
            "totals": tuple(_row(row) for row in report.totals),
            "rate_cards": tuple(report.rate_card_versions),
        }
    )


def _row(row: ReportRow) -> ReportRowOut:
    keys = {name: None if value is None else str(value) for name, value in row.keys.items()}
    return ReportRowOut(
        keys=keys,
        gpu_seconds=row.gpu_seconds,
        session_seconds=row.session_seconds,
        estimated_seconds=row.estimated_seconds,
        intervals=row.intervals,
        used_gpu_seconds=row.used_gpu_seconds,
        idle_gpu_seconds=row.idle_gpu_seconds,
        unknown_gpu_seconds=row.unknown_gpu_seconds,
        amount=row.amount,
        currency=row.currency,
    )


_TEXT = {"type": "string"}
_INSTANT = {"type": "string", "format": "date-time"}
_PARAMETERS = (
    Parameter("from", "Begin of the span, inclusive; this month's by default", _INSTANT),
    Parameter("to", "End of the span, exclusive; now by default", _INSTANT),
    Parameter("group_by", "Comma-separated or given several times", {"type": "array", "items": {"enum": list(GROUPS)}}),
    *(Parameter(name, f"Only this {name.replace('_', ' ')}", _TEXT) for name in COLUMNS if name != "allocation"),
)
_ABOUT = "A caller's own; admins, billing viewers and services with the unfiltered scope get everybody's. Open sessions count up to their last proof of life."


def _resource(handler: type[ReportHandler], name: str, summary: str) -> Resource:
    route = Route(
        method="GET",
        path=f"api/v1/{name}",
        summary=summary,
        description=_ABOUT,
        scope=READ,
        other_scope=BILLING,
        parameters=_PARAMETERS,
        replies={200: Reply("The report", ReportOut)},
        errors=(400, 404),
    )
    return Resource(handler, (route,))


RESOURCES = (
    _resource(UsageHandler, "usage", "Metered time, in groups"),
    _resource(CostsHandler, "costs", "Metered time with its price, in groups"),
)
