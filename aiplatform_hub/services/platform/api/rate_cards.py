"""Rate cards: read by everybody; added, and before they begin changed and withdrawn, by admins."""

from __future__ import annotations

from aiplatform_hub.catalog.rate_cards import rate_card_text
from aiplatform_hub.domain.rate_cards import in_force
from aiplatform_hub.domain.sample_prices import sample_prices
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.factory import Factory
from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.rate_card_models import (
    PricesOut,
    RateCardBody,
    RateCardChangeBody,
    RateCardCheckBody,
    RateCardList,
    RateCardOut,
    prices_out,
    rate_card_out,
)
from aiplatform_hub.services.platform.routes import Parameter, Reply, Resource, Route

WRITE = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""


class _AdminHandler(ApiHandler):
    def check_admin(self) -> None:
        """Refuse everybody but admins.

        Raises
        ------
        InsufficientScopeError
            If it is somebody else.
        """
        if not (self.principal.is_admin and self.principal.holds(WRITE)):
            raise insufficient_scope(WRITE)


class RateCardsHandler(_AdminHandler):
    """``GET`` and ``POST rate-cards``."""

    async def get(self) -> None:
        """Answer with every card that was ever recorded."""
        self.reply(RateCardList(items=await self.platform.run(listed, self.platform.factory)))

    async def post(self) -> None:
        """Record a card that is to come, or refuse it with everything that is wrong with it."""
        self.check_admin()
        body, factory = read_change(RateCardBody, self.body_object()), self.platform.factory
        add = factory.price_list.add
        await self.platform.run(add, body.document, version=body.version, reason=body.reason, by=self.principal.name)
        self.reply(await self.platform.run(one, factory, body.version), 201)


class RateCardCheckHandler(_AdminHandler):
    """``POST rate-cards/check``."""

    async def post(self) -> None:
        """Answer with what a card says and what sessions would cost under it; record nothing."""
        self.check_admin()
        body = read_change(RateCardCheckBody, self.body_object())
        self.reply(await self.platform.run(_checked, self.platform.factory, body))


class RateCardHandler(_AdminHandler):
    """``PUT`` and ``DELETE rate-cards/{version}``."""

    async def put(self, version: str) -> None:
        """Let another card take its place."""
        self.check_admin()
        body, factory = read_change(RateCardChangeBody, self.body_object()), self.platform.factory
        change = factory.price_list.change
        await self.platform.run(change, body.document, version=version, reason=body.reason, by=self.principal.name)
        self.reply(await self.platform.run(one, factory, version))

    async def delete(self, version: str) -> None:
        """Let it never count."""
        self.check_admin()
        factory, reason = self.platform.factory, self.get_query_argument("reason", "")
        found = await self.platform.run(factory.price_list.withdraw, version, reason=reason, by=self.principal.name)
        self.reply(await self.platform.run(_by_id, factory, found.id))


def listed(factory: Factory) -> tuple[RateCardOut, ...]:
    """Return every card, the last to begin first. Reads the database."""
    return tuple(card for _, card in _listed(factory))


def one(factory: Factory, version: str) -> RateCardOut:
    """Return the card of a version that counts. Reads the database.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    found = next((card for card in listed(factory) if card.version == version and card.withdrawn_at is None), None)
    if found is None:
        raise NotFoundError(f"There is no rate card {version}.")
    return found


def _by_id(factory: Factory, id_: int) -> RateCardOut:
    return dict(_listed(factory))[id_]


def _listed(factory: Factory) -> list[tuple[int, RateCardOut]]:
    types = [entry.name for entry in factory.enforcer.capacity()]
    return [
        (each.recorded.id, rate_card_out(each, rate_card_text(each.recorded.card), sample_prices(each.recorded.card, factory.catalog, types)))
        for each in in_force(factory.price_list.recorded())
    ]


def _checked(factory: Factory, body: RateCardCheckBody) -> PricesOut:
    card = factory.price_list.check(body.document, version=body.version)
    return prices_out(card, sample_prices(card, factory.catalog, [entry.name for entry in factory.enforcer.capacity()]))


RESOURCES = (
    Resource(
        RateCardsHandler,
        (
            Route(
                method="GET",
                path="api/v1/rate-cards",
                summary="Every rate card that was ever recorded: what costs how much, from when until when, and who recorded it why",
                scope=READ,
                replies={200: Reply("The last to begin first; withdrawn ones too", RateCardList)},
            ),
            Route(
                method="POST",
                path="api/v1/rate-cards",
                summary="Record a rate card that is to come",
                description="For admins. It begins at least a minute later. With anything wrong nothing is stored; `reasons` names all of it, with lines.",
                scope=WRITE,
                body=RateCardBody,
                replies={201: Reply("The card", RateCardOut)},
                errors=(400, 409),
            ),
        ),
    ),
    Resource(
        RateCardCheckHandler,
        (
            Route(
                method="POST",
                path="api/v1/rate-cards/check",
                summary="What a rate card says, and what sessions would cost under it; records nothing",
                description="For admins.",
                scope=WRITE,
                body=RateCardCheckBody,
                replies={200: Reply("The card", PricesOut)},
                errors=(400,),
            ),
        ),
    ),
    Resource(
        RateCardHandler,
        (
            Route(
                method="PUT",
                path="api/v1/rate-cards/{version}",
                summary="Change a rate card that has not begun",
                description="For admins. What was recorded before stays listed as withdrawn. Cards of the catalogue's files are changed there.",
                scope=WRITE,
                body=RateCardChangeBody,
                replies={200: Reply("The card", RateCardOut)},
                errors=(400, 404, 409),
            ),
            Route(
                method="DELETE",
                path="api/v1/rate-cards/{version}",
                summary="Withdraw a rate card that has not begun",
                description="For admins. It stays listed as withdrawn.",
                scope=WRITE,
                parameters=(Parameter("reason", "Why, for whoever reads the bills later: one line; needed", {"type": "string"}),),
                replies={200: Reply("The card, withdrawn", RateCardOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
)
