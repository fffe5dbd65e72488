"""Admin's page of prices, for golden pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import time, timedelta
from decimal import Decimal

from aiplatform_hub.domain.off_peak import OffPeak, Window
from aiplatform_hub.domain.rate_cards import RecordedCard, in_force
from aiplatform_hub.domain.sample_prices import sample_prices
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.prices import PricesPage, preview_card, price_card, prices_page
from aiplatform_hub.web.view_models.problem import problem_of
from tests.web.samples import CATALOG, HOSTILE, NOW, PATHS, frame

(OLD,) = CATALOG.rate_cards
NIGHTS = OffPeak("Europe/Berlin", Decimal("30.0"), (Window(frozenset({1, 2, 3, 4, 5}), time(20), time(6)), Window(frozenset({6, 7}), time(0), time(23, 59))))
NEW = replace(
    OLD,
    version=HOSTILE,
    effective_from=NOW + timedelta(days=30),
    gpu_hour={"h100": Decimal("3.1"), "*": Decimal(1)},
    idle_gpu_hour={"*": Decimal(4)},
    cpu_core_hour=Decimal("0.01"),
    memory_gib_hour=Decimal("0.002"),
    storage_gib_month=Decimal("0.02"),
    off_peak=NIGHTS,
    tier_discount_percent={"default": Decimal("12.5")},
    project_discount_percent={"personal": Decimal(10)},
)
RECORDED = (
    RecordedCard(3, NEW, NOW, HOSTILE, HOSTILE),
    RecordedCard(2, replace(NEW, version="2027-01"), NOW, "ada", "A mistake.", withdrawn_at=NOW),
    RecordedCard(1, OLD, NOW, None, "It stands in the catalogue's files."),
)


def page_of(**fields: str) -> PricesPage:
    cards = [price_card(each, sample_prices(each.recorded.card, CATALOG, ("h100",)), CATALOG, NOW) for each in in_force(RECORDED)]
    refused = problem_of(InvalidOptionError("Bad.", (Reason("invalid_option", f"document:2: {HOSTILE}", field="document"),)))
    preview = preview_card(NEW, sample_prices(NEW, CATALOG, ()), CATALOG, NOW)
    return prices_page(cards, fields, document="currency: EUR", paths=PATHS, preview=preview, problem=refused)


def admin_prices() -> str:
    page = page_of(version="2027-02", document=HOSTILE, reason=HOSTILE, done="2027-01")
    return render("admin-prices.html", frame("admin", is_admin=True), page=page, tabs=())
