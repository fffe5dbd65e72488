"""The page of a person's own settings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from aiplatform_hub.domain.push import PushSubscription
from aiplatform_hub.web.view_models.formats import Stamp, stamp
from aiplatform_hub.web.view_models.paths import Paths


@dataclass(frozen=True, slots=True)
class BrowserRow:
    """A browser that is told by push."""

    name: str
    endpoint_sha256: str
    """By which a browser finds itself in the list."""
    since: Stamp | None
    last: Stamp | None
    off_url: str


@dataclass(frozen=True, slots=True)
class SettingsPage:
    """Everything on the page."""

    is_available: bool
    """Whether this hub tells browsers by push."""
    browsers: tuple[BrowserRow, ...] = ()
    showback: bool | None = None
    """Whether a lead gets the monthly mail; None for who leads no project."""


def settings_page(subscriptions: Iterable[PushSubscription] | None, paths: Paths, *, showback: bool | None = None) -> SettingsPage:
    """Return the page; ``subscriptions`` is None where this hub does not tell browsers."""
    if subscriptions is None:
        return SettingsPage(is_available=False, showback=showback)
    return SettingsPage(is_available=True, browsers=tuple(_row(each, paths) for each in subscriptions), showback=showback)


def _row(subscription: PushSubscription, paths: Paths) -> BrowserRow:
    return BrowserRow(
        name=subscription.browser,
        endpoint_sha256=endpoint_sha256(subscription),
        since=stamp(subscription.created_at),
        last=stamp(subscription.delivered_at),
        off_url=f"{paths.settings}/browsers/{subscription.id}/off",
    )


def endpoint_sha256(subscription: PushSubscription) -> str:
    """Return by what a browser finds itself, without anybody learning where it can be written to."""
    return hashlib.sha256(subscription.endpoint.encode()).hexdigest()
