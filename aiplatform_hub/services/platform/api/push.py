"""Browsers that are told by push: the caller's own."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from aiplatform_hub.domain.push import PushSubscription, browser_of
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.services.platform.auth import READ, START
from aiplatform_hub.services.platform.base import ApiHandler
from aiplatform_hub.services.platform.bodies import read_change
from aiplatform_hub.services.platform.routes import Reply, Resource, Route
from aiplatform_hub.services.platform.wire import Input, Instant, Output
from aiplatform_hub.web.view_models.settings import endpoint_sha256

NO_PUSH = "This hub does not tell browsers by push."
NOT_YOURS = "There is no such browser, or it is not yours."


class PushKeys(Input):
    """Keys of a browser's subscription."""

    p256dh: str = Field(max_length=128, description="Public key, base64url")
    auth: str = Field(max_length=64, description="16 bytes, base64url")


class PushSubscriptionIn(Input):
    """A browser's subscription, exactly as ``PushSubscription.toJSON()`` gives it."""

    endpoint: str = Field(max_length=1024, description="Address at the push service of the browser's maker")
    keys: PushKeys
    expirationTime: float | None = Field(default=None, description="Not used: a push service says itself when a browser is gone")  # noqa: N815 - the browser's name


class PushSubscriptionOut(Output):
    """A browser that is told. Its endpoint is not shown."""

    id: UUID
    browser: str = Field(description="Such as `Firefox on Linux`, from its `User-Agent`")
    endpoint_sha256: str = Field(description="By which a browser finds itself: SHA-256 of its endpoint, hexadecimal")
    created_at: Instant
    delivered_at: Instant | None = Field(description="When something was last passed on to its push service")


class PushOut(Output):
    """Whether this hub tells browsers, and the caller's."""

    is_available: bool
    public_key: str | None = Field(description="`applicationServerKey` for `PushManager.subscribe()`")
    subscriptions: tuple[PushSubscriptionOut, ...]


class PushHandler(ApiHandler):
    """``GET push``."""

    async def get(self) -> None:
        """Answer with the caller's browsers; a service has none."""
        factory, principal = self.platform.factory, self.principal
        if not factory.has_push:
            self.reply(PushOut(is_available=False, public_key=None, subscriptions=()))
            return
        may_read = principal.is_user and principal.may(READ, principal.name)
        found = await self.platform.run(factory.push_desk.of, principal.name) if may_read else ()
        key = await self.platform.run(lambda: factory.vapid_key.public)
        self.reply(PushOut(is_available=True, public_key=key, subscriptions=tuple(body_of(each) for each in found)))


class PushSubscriptionsHandler(ApiHandler):
    """``POST push/subscriptions``."""

    async def post(self) -> None:
        """Tell the caller's browser from now on."""
        principal = self.principal
        if not self.platform.factory.has_push or not principal.is_user:
            raise NotFoundError(NO_PUSH)
        await self.require(START, principal.name)
        body = read_change(PushSubscriptionIn, self.body_object())
        made = await self.platform.run(
            self.platform.factory.push_desk.switch_on,
            principal.name,
            endpoint=body.endpoint,
            p256dh=body.keys.p256dh,
            auth=body.keys.auth,
            browser=browser_of(self.request.headers.get("User-Agent", "")),
        )
        self.reply(body_of(made), status=201)


class PushSubscriptionHandler(ApiHandler):
    """``DELETE push/subscriptions/{id}``."""

    async def delete(self, subscription_id: str) -> None:
        """Tell a browser of the caller's no more."""
        principal = self.principal
        if not self.platform.factory.has_push or not principal.is_user:
            raise NotFoundError(NOT_YOURS)
        await self.require(START, principal.name)
        try:
            known = UUID(subscription_id)
        except ValueError as error:
            raise NotFoundError(NOT_YOURS) from error
        await self.platform.run(self.platform.factory.push_desk.switch_off, known, by=principal.name)
        self.set_status(204)
        self.finish()


def body_of(subscription: PushSubscription) -> PushSubscriptionOut:
    """Return a browser as the REST API shows it."""
    return PushSubscriptionOut(
        id=subscription.id,
        browser=subscription.browser,
        endpoint_sha256=endpoint_sha256(subscription),
        created_at=subscription.created_at,
        delivered_at=subscription.delivered_at,
    )


RESOURCES = (
    Resource(
        PushHandler,
        (
            Route(
                method="GET",
                path="api/v1/push",
                summary="Whether this hub tells browsers by push, and the caller's browsers",
                scope=READ,
                replies={200: Reply("Key and browsers", PushOut)},
            ),
        ),
    ),
    Resource(
        PushSubscriptionsHandler,
        (
            Route(
                method="POST",
                path="api/v1/push/subscriptions",
                summary="Tell this browser by push from now on; may be repeated",
                description="A browser belongs to who switched it on last.",
                scope=START,
                body=PushSubscriptionIn,
                replies={201: Reply("The browser", PushSubscriptionOut)},
                errors=(400, 404, 409),
            ),
        ),
    ),
    Resource(
        PushSubscriptionHandler,
        (
            Route(
                method="DELETE",
                path="api/v1/push/subscriptions/{id}",
                summary="Tell a browser no more",
                scope=START,
                replies={204: Reply("It is told no more")},
                errors=(404,),
            ),
        ),
    ),
)
