"""What admins tell everybody, on the hub's own pages: from memory, so that no page waits for a database."""

from __future__ import annotations

from typing import Any

from jupyterhub.app import JupyterHub

from aiplatform_hub.hub.process import shared_by
from aiplatform_hub.web.view_models.announcements import Banner, banners


def hub_announcements(_reader: Any) -> tuple[Banner, ...]:
    """Return what stands above a page of the hub now, the most urgent first.

    For ``c.JupyterHub.template_vars``: the hub calls it on its event loop for each page, also for readers who are not logged in. What it
    returns is at most as old as the hub's last sign of life; while the database is away it is the last that was known.
    """
    app = JupyterHub.instance()
    process = shared_by(app.config, str(app.base_url)).process
    process.start_heartbeat()
    return banners(process.announcements(), frozenset(), process.factory.clock())
