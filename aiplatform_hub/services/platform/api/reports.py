"""Reports of what was charged, as files."""

from __future__ import annotations

from datetime import datetime

from aiplatform_hub.domain.charge_report import KEYS
from aiplatform_hub.domain.report_months import span_of_month
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.services.platform.api.usage import ReportHandler
from aiplatform_hub.services.platform.auth import BILLING, READ
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.report_files import send_report
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route
from aiplatform_hub.storage.usage_sums import COLUMNS


class ReportsHandler(ReportHandler):
    """``GET reports``."""

    groups = tuple(KEYS)

    async def get(self) -> None:
        """Answer with a file."""
        query = await self.query()
        await send_report(self, ReportQuery(query.start, query.end, self.get_query_argument("format", "json"), query.group_by, query.filters))

    def span(self) -> tuple[datetime, datetime]:
        """Return the month asked for, else the span."""
        month = self.get_query_argument("month", None)
        if month is None:
            return super().span()
        if self.get_query_argument("from", None) or self.get_query_argument("to", None):
            raise invalid("month", "Give month, or from and to, not both.")
        found = span_of_month(month)
        return found.start, found.end


_TEXT = {"type": "string"}
_INSTANT = {"type": "string", "format": "date-time"}
_FILES = tuple(dict.fromkeys(each.media_type.partition(";")[0] for name, each in FORMATS.items() if name != "json"))
RESOURCES = (
    Resource(
        ReportsHandler,
        (
            Route(
                method="GET",
                path="api/v1/reports",
                summary="What was charged, as a file",
                description="A caller's own; admins, billing viewers and services with the unfiltered scope get everybody's. A month that is over and closed gives the same "
                "bytes at any time. FOCUS has one line for each charge; the other formats have groups. In Prometheus' format people are no groups.",
                scope=READ,
                other_scope=BILLING,
                parameters=(
                    Parameter("format", "Of the file; json by default", {"enum": list(FORMATS)}),
                    Parameter("month", "A UTC month such as 2026-11", {"type": "string", "pattern": r"^\d{4}-\d{2}$"}),
                    Parameter("from", "Instead of a month: begin of the span, inclusive; this month's by default", _INSTANT),
                    Parameter("to", "End of the span, exclusive; now by default", _INSTANT),
                    Parameter("group_by", "Comma-separated or given several times", {"type": "array", "items": {"enum": list(KEYS)}}),
                    *(Parameter(name, f"Only this {name.replace('_', ' ')}", _TEXT) for name in COLUMNS if name != "allocation"),
                ),
                replies={200: Reply("The file, in the format asked for", is_object=True, other_media_types=_FILES)},
                errors=(400, 404),
            ),
        ),
    ),
)
