"""Pages of the platform service: fetch, hand to a view model, print."""

from __future__ import annotations

from typing import Any

from tornado.web import RedirectHandler, StaticFileHandler

from aiplatform_hub.services.platform.page_style import PageStyleHandler
from aiplatform_hub.services.platform.pages.announcements import AdminAnnouncementsHandler, BannersHandler, HideBannerHandler, RestoreHandler, WithdrawHandler
from aiplatform_hub.services.platform.pages.audit import AdminAuditHandler
from aiplatform_hub.services.platform.pages.billing import (
    BillingHandler,
    DisputeHandler,
    InvoiceFileHandler,
    InvoiceHandler,
    LineHandler,
    OpenDisputeHandler,
    SessionChargesHandler,
)
from aiplatform_hub.services.platform.pages.billing_credit import CreditInvoiceHandler
from aiplatform_hub.services.platform.pages.budgets import AdminBudgetsHandler, EndBudgetHandler
from aiplatform_hub.services.platform.pages.catalogue import AdminCatalogueHandler
from aiplatform_hub.services.platform.pages.chargeback import (
    AdminChargebackFileHandler,
    AdminChargebackHandler,
    CentreHandler,
    ChargebackFileHandler,
    ChargebackHandler,
)
from aiplatform_hub.services.platform.pages.credits import AdminCreditsHandler, EndCreditHandler
from aiplatform_hub.services.platform.pages.efficiency import AdminEfficiencyHandler, AdminForecastHandler
from aiplatform_hub.services.platform.pages.health import AdminHealthHandler
from aiplatform_hub.services.platform.pages.hiding import HideHandler, UnhideHandler
from aiplatform_hub.services.platform.pages.home import HomeHandler
from aiplatform_hub.services.platform.pages.inbox import DismissHandler, InboxHandler
from aiplatform_hub.services.platform.pages.launch import LaunchHandler
from aiplatform_hub.services.platform.pages.login import LoginCallbackHandler
from aiplatform_hub.services.platform.pages.now import (
    DrainHandler,
    ExtendManyHandler,
    MoveUpHandler,
    NowHandler,
    StopManyHandler,
    UndoDrainHandler,
    UndoMoveHandler,
)
from aiplatform_hub.services.platform.pages.people import (
    EndGrantHandler,
    EndLimitHandler,
    GiveGrantHandler,
    PeopleHandler,
    PersonHandler,
    RaiseLimitHandler,
    RestoreGrantHandler,
    RestoreLimitHandler,
)
from aiplatform_hub.services.platform.pages.policy import PolicyHandler
from aiplatform_hub.services.platform.pages.presets import DeletePresetHandler, RestorePresetHandler, SavePresetHandler
from aiplatform_hub.services.platform.pages.prices import AdminPricesHandler, WithdrawCardHandler
from aiplatform_hub.services.platform.pages.projects import AddMemberHandler, AdminProjectsHandler, EndMemberHandler
from aiplatform_hub.services.platform.pages.session import ExtendHandler, FewerGpusHandler, KeepHandler, SessionHandler, StopHandler
from aiplatform_hub.services.platform.pages.session_moves import MoveSessionHandler
from aiplatform_hub.services.platform.pages.settings import AppFileHandler, BrowserOffHandler, OfflineHandler, SettingsHandler, ShowbackChoiceHandler
from aiplatform_hub.services.platform.pages.showcase import ShowcaseHandler
from aiplatform_hub.services.platform.pages.usage import UsageHandler, UsageReportHandler
from aiplatform_hub.web.rendering import APP_DIR, STATIC_DIR

__all__ = ["page_handlers"]

_ID = r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"

_NUMBER = "([0-9]{1,18})"
_POSITION = "([0-9]{1,9})"


def page_handlers(prefix: str, hub_prefix: str) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return the routes of all pages.

    Parameters
    ----------
    prefix
        Path of the service, with slashes at both ends.
    hub_prefix
        Path of the hub, likewise.
    """
    return [
        (f"{prefix}", RedirectHandler, {"url": f"{prefix}home", "permanent": False}),
        (f"{prefix}oauth_callback", LoginCallbackHandler, {}),
        (f"{prefix}home", HomeHandler, {}),
        (f"{prefix}launch", LaunchHandler, {}),
        (f"{prefix}launch/presets", SavePresetHandler, {}),
        (f"{prefix}launch/presets/{_ID}/delete", DeletePresetHandler, {}),
        (f"{prefix}launch/presets/{_ID}/restore", RestorePresetHandler, {}),
        (f"{prefix}usage", UsageHandler, {}),
        (f"{prefix}policy", PolicyHandler, {}),
        (f"{prefix}usage/report", UsageReportHandler, {}),
        (f"{prefix}sessions/{_ID}", SessionHandler, {}),
        (f"{prefix}sessions/{_ID}/stop", StopHandler, {}),
        (f"{prefix}sessions/{_ID}/hide", HideHandler, {}),
        (f"{prefix}sessions/{_ID}/unhide", UnhideHandler, {}),
        (f"{prefix}sessions/{_ID}/gpus", FewerGpusHandler, {}),
        (f"{prefix}sessions/{_ID}/keep", KeepHandler, {}),
        (f"{prefix}sessions/{_ID}/extend", ExtendHandler, {}),
        (f"{prefix}sessions/{_ID}/move", MoveSessionHandler, {}),
        (f"{prefix}notifications", InboxHandler, {}),
        (f"{prefix}notifications/([0-9]{{1,18}})/dismiss", DismissHandler, {}),
        (f"{prefix}announcements", BannersHandler, {}),
        (f"{prefix}announcements/{_NUMBER}/dismiss", HideBannerHandler, {}),
        (f"{prefix}admin/announcements", AdminAnnouncementsHandler, {}),
        (f"{prefix}admin/announcements/{_NUMBER}/withdraw", WithdrawHandler, {}),
        (f"{prefix}admin/announcements/{_NUMBER}/restore", RestoreHandler, {}),
        (f"{prefix}admin", NowHandler, {}),
        (f"{prefix}admin/stop", StopManyHandler, {}),
        (f"{prefix}admin/extend", ExtendManyHandler, {}),
        (f"{prefix}admin/move", MoveUpHandler, {}),
        (f"{prefix}admin/move/undo", UndoMoveHandler, {}),
        (f"{prefix}admin/drain", DrainHandler, {}),
        (f"{prefix}admin/drain/undo", UndoDrainHandler, {}),
        (f"{prefix}settings", SettingsHandler, {}),
        (f"{prefix}settings/browsers/{_ID}/off", BrowserOffHandler, {}),
        (f"{prefix}offline", OfflineHandler, {}),
        (f"{prefix}(manifest\\.webmanifest|service-worker\\.js)", AppFileHandler, {"path": str(APP_DIR)}),
        (f"{prefix}admin/people", PeopleHandler, {}),
        (f"{prefix}admin/people/([^/]+)", PersonHandler, {}),
        (f"{prefix}admin/people/([^/]+)/grants", GiveGrantHandler, {}),
        (f"{prefix}admin/people/([^/]+)/grants/{_ID}/end", EndGrantHandler, {}),
        (f"{prefix}admin/people/([^/]+)/grants/{_ID}/restore", RestoreGrantHandler, {}),
        (f"{prefix}admin/people/([^/]+)/limits", RaiseLimitHandler, {}),
        (f"{prefix}admin/people/([^/]+)/limits/{_ID}/end", EndLimitHandler, {}),
        (f"{prefix}admin/people/([^/]+)/limits/{_ID}/restore", RestoreLimitHandler, {}),
        (f"{prefix}admin/projects", AdminProjectsHandler, {}),
        (f"{prefix}admin/projects/members", AddMemberHandler, {}),
        (f"{prefix}admin/projects/members/{_ID}/end", EndMemberHandler, {}),
        (f"{prefix}admin/efficiency", AdminEfficiencyHandler, {}),
        (f"{prefix}admin/efficiency/forecast", AdminForecastHandler, {}),
        (f"{prefix}admin/health", AdminHealthHandler, {}),
        (f"{prefix}admin/catalogue", AdminCatalogueHandler, {}),
        (f"{prefix}admin/audit", AdminAuditHandler, {}),
        (f"{prefix}components", ShowcaseHandler, {}),
        (f"{prefix}static/page\\.css", PageStyleHandler, {"hub_prefix": hub_prefix}),
        (f"{prefix}static/(.*)", StaticFileHandler, {"path": str(STATIC_DIR)}),
        (f"{prefix}admin/credits", AdminCreditsHandler, {}),
        (f"{prefix}admin/credits/{_ID}/end", EndCreditHandler, {}),
        (f"{prefix}billing", BillingHandler, {}),
        (f"{prefix}billing/invoices/{_ID}", InvoiceHandler, {}),
        (f"{prefix}billing/invoices/{_ID}/file", InvoiceFileHandler, {}),
        (f"{prefix}billing/invoices/{_ID}/credit", CreditInvoiceHandler, {}),
        (f"{prefix}billing/chargeback", ChargebackHandler, {}),
        (f"{prefix}billing/chargeback\\.csv", ChargebackFileHandler, {}),
        (f"{prefix}billing/chargeback/centre", CentreHandler, {}),
        (f"{prefix}billing/invoices/{_ID}/lines/{_POSITION}", LineHandler, {}),
        (f"{prefix}billing/invoices/{_ID}/lines/{_POSITION}/disputes", OpenDisputeHandler, {}),
        (f"{prefix}billing/invoices/{_ID}/lines/{_POSITION}/sessions/{_ID}", SessionChargesHandler, {}),
        (f"{prefix}billing/disputes/{_ID}/(reply|answer|withdraw)", DisputeHandler, {}),
        (f"{prefix}admin/prices", AdminPricesHandler, {}),
        (f"{prefix}admin/prices/withdraw", WithdrawCardHandler, {}),
        (f"{prefix}admin/budgets", AdminBudgetsHandler, {}),
        (f"{prefix}admin/budgets/end", EndBudgetHandler, {}),
        (f"{prefix}admin/chargeback", AdminChargebackHandler, {}),
        (f"{prefix}admin/chargeback\\.csv", AdminChargebackFileHandler, {}),
        (f"{prefix}settings/showback", ShowbackChoiceHandler, {}),
    ]
