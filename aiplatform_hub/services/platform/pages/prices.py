"""Admin, Prices: which card holds from when until when, and cards that are to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from aiplatform_hub.catalog.rate_cards import rate_card_text
from aiplatform_hub.domain.rate_cards import RecordedCard, in_force
from aiplatform_hub.domain.rates import card_at, next_month
from aiplatform_hub.domain.sample_prices import sample_prices
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.pages.admin import AdminPage
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.prices import PriceCard, PricesPage, preview_card, price_card, prices_page
from aiplatform_hub.web.view_models.problem import Problem, problem_of

PREVIEW = "preview"


class AdminPricesHandler(AdminPage):
    """``GET admin/prices`` shows the cards, ``POST`` records one, or shows what it would mean."""

    tab = "prices"
    title = "Prices"

    async def get(self) -> None:
        await self.admin()
        await self.show_prices(self.fields())

    async def post(self) -> None:
        admin = await self.acting_admin()
        fields, cards = self.fields(), self.factory.price_list
        document, version = fields.get("document", ""), fields.get("changing") or fields.get("version", "").strip()
        try:
            if fields.get("do") == PREVIEW:
                preview = await self.platform.run(_preview, self.factory, document, version)
                await self.show_prices(fields, preview=preview)
                return
            act = cards.change if fields.get("changing") else cards.add
            await self.platform.run(act, document, version=version, reason=fields.get("reason", ""), by=admin.user_name)
        except AIPlatformError as error:
            await self.refuse(fields, error)
            return
        self.redirect(f"{self.paths.platform}admin/prices?done={version}", status=303)

    async def refuse(self, fields: Mapping[str, str], error: AIPlatformError) -> None:
        """Show the page with what was typed, and what is wrong with it."""
        self.set_status(error.status)
        self.set_error_headers(error)
        await self.show_prices(fields, problem=problem_of(error))

    async def show_prices(self, fields: Mapping[str, str], *, preview: PriceCard | None = None, problem: Problem | None = None) -> None:
        """Answer with the page."""
        page = await self.platform.run(read_page, self.factory, fields, self.paths, preview, problem)
        self.show_tab("admin-prices.html", page=page)


class WithdrawCardHandler(AdminPricesHandler):
    """``POST admin/prices/withdraw``: lets a card that has not begun never count."""

    async def get(self) -> None:
        """Lead to the cards: a browser opens the address again."""
        await self.admin()
        self.redirect(f"{self.paths.platform}admin/prices", status=303)

    async def post(self) -> None:
        admin = await self.acting_admin()
        fields = self.fields()
        version, why = fields.get("withdraw", ""), fields.get("why", "")
        try:
            await self.platform.run(self.factory.price_list.withdraw, version, reason=why, by=admin.user_name)
        except AIPlatformError as error:
            await self.refuse({}, error)
            return
        self.redirect(f"{self.paths.platform}admin/prices?done={version}", status=303)


def read_page(factory: Factory, fields: Mapping[str, str], paths: Paths, preview: PriceCard | None, problem: Problem | None) -> PricesPage:
    """Read and word the cards."""
    now, recorded, types = factory.clock(), factory.price_list.recorded(), _types(factory)
    cards = [price_card(each, sample_prices(each.recorded.card, factory.catalog, types), factory.catalog, now) for each in in_force(recorded)]
    document = _document(factory, recorded, fields.get("change", ""))
    return prices_page(cards, fields, document=document, paths=paths, preview=preview, problem=problem)


def _document(factory: Factory, recorded: tuple[RecordedCard, ...], change: str) -> str:
    """Return what the form begins with: the card that is to be changed, else the one in force, from next month on."""
    found = next((each.card for each in recorded if each.stands and each.card.version == change), None)
    now = factory.clock()
    return rate_card_text(found or replace(card_at(factory.rate_cards(), now), effective_from=next_month(now)))


def _preview(factory: Factory, document: str, version: str) -> PriceCard:
    card = factory.price_list.check(document, version=version)
    return preview_card(card, sample_prices(card, factory.catalog, _types(factory)), factory.catalog, factory.clock())


def _types(factory: Factory) -> list[str]:
    return [entry.name for entry in factory.enforcer.capacity()]
