"""Pages of the platform service: fetch, hand to a view model, print."""

from __future__ import annotations

from typing import Any

from tornado.web import RedirectHandler, StaticFileHandler

from aiplatform_hub.services.platform.pages.admin import AdminHandler
from aiplatform_hub.services.platform.pages.home import HomeHandler
from aiplatform_hub.services.platform.pages.inbox import DismissHandler, InboxHandler
from aiplatform_hub.services.platform.pages.launch import LaunchHandler
from aiplatform_hub.services.platform.pages.login import LoginCallbackHandler
from aiplatform_hub.services.platform.pages.policy import PolicyHandler
from aiplatform_hub.services.platform.pages.session import ExtendHandler, FewerGpusHandler, KeepHandler, SessionHandler, StopHandler
from aiplatform_hub.services.platform.pages.showcase import ShowcaseHandler
from aiplatform_hub.services.platform.pages.usage import UsageCsvHandler, UsageHandler
from aiplatform_hub.web.rendering import STATIC_DIR

__all__ = ["page_handlers"]

_ID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"


def page_handlers(prefix: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return the routes of all pages.

    Parameters
    ----------
    prefix
        Path of the service, with slashes at both ends.
    """
    return [
        (f"{prefix}", RedirectHandler, {"url": f"{prefix}home", "permanent": False}),
        (f"{prefix}oauth_callback", LoginCallbackHandler, {}),
        (f"{prefix}home", HomeHandler, {}),
        (f"{prefix}launch", LaunchHandler, {}),
        (f"{prefix}usage", UsageHandler, {}),
        (f"{prefix}policy", PolicyHandler, {}),
        (f"{prefix}usage\\.csv", UsageCsvHandler, {}),
        (f"{prefix}sessions/{_ID}", SessionHandler, {}),
        (f"{prefix}sessions/{_ID}/stop", StopHandler, {}),
        (f"{prefix}sessions/{_ID}/gpus", FewerGpusHandler, {}),
        (f"{prefix}sessions/{_ID}/keep", KeepHandler, {}),
        (f"{prefix}sessions/{_ID}/extend", ExtendHandler, {}),
        (f"{prefix}notifications", InboxHandler, {}),
        (f"{prefix}notifications/([0-9]{{1,18}})/dismiss", DismissHandler, {}),
        (f"{prefix}admin", AdminHandler, {}),
        (f"{prefix}components", ShowcaseHandler, {}),
        (f"{prefix}static/(.*)", StaticFileHandler, {"path": str(STATIC_DIR)}),
    ]
