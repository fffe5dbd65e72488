"""Usage: what a person used and what it costs; for admins, everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from urllib.parse import urlencode

from aiplatform_hub.domain.rates import card_at
from aiplatform_hub.domain.report_spans import BucketSize, Span, bucket_size, span_before
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.charge_reporter import ReportQuery
from aiplatform_hub.operations.cost_reporter import CostReporter, Report, ReportRow, UsageQuery
from aiplatform_hub.reports.formats import FORMATS
from aiplatform_hub.services.platform.pages.base import Page, costs_of
from aiplatform_hub.services.platform.report_files import send_report
from aiplatform_hub.web.view_models import usage as view
from aiplatform_hub.web.view_models.activity import activity_bar
from aiplatform_hub.web.view_models.energy import energy_total
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.usage_chart import usage_chart
from aiplatform_hub.web.view_models.usage_comparison import comparison, costs_before

TIMES: Mapping[str, BucketSize] = {"day": "day", "week": "week", "month": "month"}
DAYS_OF: Mapping[BucketSize, int] = {"day": 1, "week": 7, "month": 28}
MOST_BARS = 400
"""A year of days is drawn day by day; of longer spans the table alone has every day."""
GROUPS = (*TIMES, "project", "environment_template", "gpu_type")
ADMIN_GROUPS = (*GROUPS, "user", "cost_centre")


@dataclass(frozen=True, slots=True)
class Question:
    """What the page is asked for."""

    user_name: str | None
    """None means everybody."""
    start: datetime
    end: datetime
    group: str
    period: str
    """Name of the span; empty for days of the reader's own choice."""

    @property
    def filters(self) -> dict[str, str]:
        """Filters for the report."""
        return {} if self.user_name is None else {"user": self.user_name}

    @property
    def days(self) -> tuple[str, str]:
        """First and last day, both included."""
        return self.start.date().isoformat(), (self.end - timedelta(days=1)).date().isoformat()

    @property
    def span(self) -> Span:
        """The days asked for."""
        return Span(self.start, self.end)

    @property
    def before(self) -> Span:
        """The days that they are compared with."""
        return span_before(self.span, self.period)

    @property
    def size(self) -> BucketSize:
        """What a bar of the chart is: the group, where that is a time, and not of a span with more bars than anybody can tell apart."""
        size = TIMES.get(self.group)
        return size if size is not None and self.span.days <= MOST_BARS * DAYS_OF[size] else bucket_size(self.span.days)

    def query(self, group: str) -> UsageQuery:
        """Return the question to the reporter."""
        return UsageQuery(self.start, self.end, (group,), self.filters)

    def query_before(self, *groups: str) -> UsageQuery:
        """Return the question to the reporter about the span before."""
        return UsageQuery(self.before.start, self.before.end, groups, self.filters)


class _Asking(Page):
    active = "usage"
    title = "Usage"

    @property
    def sees_everybody(self) -> bool:
        """Whether the reader may ask about everybody."""
        return self.principal.sees_everybody or self.principal.reads_billing

    async def question(self) -> Question:
        """Return what the query asks for; whatever is not understood takes its default."""
        caller = await self.caller()
        fields = self.fields()
        is_everybody = fields.get("who") == "everybody" and self.sees_everybody
        own = view.span_of_days(fields.get("first_day", ""), fields.get("last_day", ""))
        period = "" if own else fields.get("period", "month") if fields.get("period", "month") in view.PERIODS else "month"
        start, end = own or view.span_of(period, self.factory.clock())
        groups = ADMIN_GROUPS if is_everybody else GROUPS
        group = fields.get("group_by", "day")
        return Question(None if is_everybody else caller.user_name, start, end, group if group in groups else "day", period)


class UsageHandler(_Asking):
    """``GET usage``."""

    is_live = True

    async def get(self) -> None:
        question = await self.question()
        page = await self.platform.run(usage_page, self.factory, question, self.paths)
        self.show("usage.html", page=page, is_everybody=question.user_name is None, can_see_everybody=self.sees_everybody)


class UsageReportHandler(_Asking):
    """``GET usage/report``: the same span and groups as a file."""

    async def get(self) -> None:
        question = await self.question()
        name = self.fields().get("format", "csv")
        await send_report(self, report_query(question, name))


def report_query(question: Question, name: str) -> ReportQuery:
    """Return the report that has what the page shows, in the groups that a format can have."""
    format_ = FORMATS.get(name)
    is_grouped = format_ is not None and format_.write is not None and question.group not in format_.forbidden_groups
    return ReportQuery(question.start, question.end, name, (question.group,) if is_grouped else (), question.filters)


def usage_page(factory: Factory, question: Question, paths: Paths) -> view.UsagePage:
    """Read and word everything on Usage."""
    now = factory.clock()
    reporter = factory.reporter
    report = reporter.costs(question.query(question.group))
    shown = view.shown(report.rows, question.group)
    left_out = len(report.rows) - len(shown)
    before, groups_before = _before(reporter, question, shown if left_out else None)
    is_this_month = question.period == "month" and question.group == "day"
    days = report if is_this_month else reporter.costs(UsageQuery(*view.span_of("month", now), ("day",), question.filters))
    by_time = report if question.size == question.group else reporter.costs(question.query(question.size))
    currency = card_at(factory.rate_cards(), now).currency
    first, last = question.days
    earlier = None if question.group in TIMES else costs_before(groups_before, question.group)
    rows = [view.row(row, question.group, factory.catalog, earlier) for row in shown]
    return view.UsagePage(
        figures=view.figures(view.rows_of(days, now), days.totals, _running(factory, question)),
        periods=tuple(view.Link(label, _href(question, paths, period=name), name == question.period) for name, label in view.PERIODS.items()),
        groups=tuple(
            view.Link(
                f"By {view.GROUP_LABELS[name].lower() if name != 'gpu_type' else 'GPU type'}", _href(question, paths, group_by=name), name == question.group
            )
            for name in (ADMIN_GROUPS if question.user_name is None else GROUPS)
        ),
        group_label=view.GROUP_LABELS[question.group],
        heading=view.PERIODS.get(question.period, f"{first} to {last}"),
        rows=tuple(reversed(rows)) if question.group in TIMES else tuple(rows),
        total=view.row(report.totals[0], "total", factory.catalog) if len(report.totals) == 1 else None,
        chart=usage_chart(by_time, question.span, question.size, currency),
        comparison=comparison(report, before),
        complete_until=view.report_stamp(report),
        first_day=first,
        last_day=last,
        downloads=tuple(view.Link(each.label, _href(question, paths, page="usage/report", format=name), is_current=False) for name, each in FORMATS.items()),
        activity=activity_bar(report.totals),
        left_out=left_out,
        energy=energy_total(factory.energy.of_span(question.start, question.end, question.filters)),
    )


def _before(reporter: CostReporter, question: Question, only: Sequence[ReportRow] | None) -> tuple[Report, Report]:
    """Return what the span before came to, and what each group did that can be compared; where thousands are left out, only those that are shown."""
    group = question.group
    if only is None:
        report = reporter.costs(question.query_before() if group in TIMES else question.query_before(group))
        return report, report
    named = {**question.filters, group: frozenset(row.keys[group] for row in only)}
    whole, parts = reporter.costs_together((question.query_before(), replace(question.query_before(group), filters=named)))
    return whole, parts


def _running(factory: Factory, question: Question) -> Mapping[str, Decimal]:
    with factory.database.read() as connection:
        opened = factory.allocations.live(connection).open
        costs = costs_of(factory, connection, [a for a in opened if question.user_name in {None, a.user_name}])
    sums: dict[str, Decimal] = {}
    for cost in costs.values():
        sums[cost.currency] = sums.get(cost.currency, Decimal(0)) + cost.amount
    return sums


def _href(question: Question, paths: Paths, page: str = "usage", **changes: str) -> str:
    first, last = question.days
    span = {"period": question.period} if question.period else {"first_day": first, "last_day": last}
    if "period" in changes:
        span = {}
    who = {"who": "everybody"} if question.user_name is None else {}
    return f"{paths.platform}{page}?{urlencode({**span, 'group_by': question.group, **who, **changes})}"
