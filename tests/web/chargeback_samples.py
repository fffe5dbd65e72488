"""Pages of chargeback, for golden pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from aiplatform_hub.domain.catalog import Share
from aiplatform_hub.domain.chargeback import NUMBERS, TYPE_HOURS, Chargeback, ChargebackRow, TypeRow
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.chargeback import BILLING, CentrePage, CentrePart, chargeback_page
from aiplatform_hub.web.view_models.formats import stamp
from aiplatform_hub.web.view_models.usage import Link, UsageRow
from tests.web.samples import CATALOG, HOSTILE, PATHS, frame

START = datetime(2026, 10, 1, tzinfo=UTC)
END = datetime(2026, 11, 1, tzinfo=UTC)


def row(cost_centre: str | None, *numbers: str) -> ChargebackRow:
    return ChargebackRow(cost_centre, "EUR", dict(zip(NUMBERS, map(Decimal, numbers), strict=True)), ("2026-01", HOSTILE))


FOUND = Chargeback(
    start=START,
    end=END,
    complete_until=END - timedelta(hours=7),
    capacity_known_from=START + timedelta(days=3),
    shares=(("2026-01", Share.NONE), (HOSTILE, Share.PROPORTIONALLY)),
    rows=(
        row("lab", "1200.5", "40", "300", "3841.60", "128", "0.004", "396.96", "960", "4532.644", "32.644", "4500"),
        row(HOSTILE, "0", "0", "0", "0", "0", "12", "0", "0", "12", "0", "12"),
        row(None, "0", "0", "9.96", "0", "0", "0", "0", "31.872", "31.872", "0", "31.872"),
    ),
    totals=(row(None, "1200.5", "40", "309.96", "3841.60", "128", "12.004", "396.96", "991.872", "4576.516", "32.644", "4543.872"),),
    gpu_types=(TypeRow("h100", dict(zip(TYPE_HOURS, map(Decimal, ("1550.46", "1200.5", "40", "309.96")), strict=True))),),
)


def admin_chargeback() -> str:
    page = chargeback_page(FOUND, CATALOG, PATHS, is_latest=False)
    return render("admin-chargeback.html", frame("admin", is_admin=True), page=page, tabs=())


def billing_chargeback() -> str:
    page = chargeback_page(FOUND, CATALOG, PATHS, is_latest=False, place=BILLING)
    return render("billing-chargeback.html", replace(frame("billing"), reads_billing=True), page=page)


def billing_centre() -> str:
    one = UsageRow(
        label=HOSTILE, gpu_hours="12", hours="12", sessions=3, cost="38.40 EUR", has_estimate=True, used="9", idle="2", unknown="1", activity=None, before=""
    )
    page = CentrePage(
        title=HOSTILE,
        heading="October 2026",
        back_url=f"{PATHS.platform}billing/chargeback?month=2026-10",
        parts=(CentrePart("project", "project", (one,)), CentrePart("user", "person", ())),
        documents=(Link(HOSTILE, "#", is_current=False),),
        complete_until=stamp(END),
    )
    return render("billing-centre.html", replace(frame("billing"), reads_billing=True), page=page)
