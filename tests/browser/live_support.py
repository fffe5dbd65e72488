"""Pages without a hub, in a real browser: for what happens between a page and its stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser, Page, Request

from aiplatform_hub.config import Settings
from aiplatform_hub.domain.allocations import GpuDevice, ServerKey
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.migrate import upgrade
from tests.support.page_server import ADMIN, PREFIX, PageServer, id_of, page_server


def run(factory: Factory, who: str, name: str) -> None:
    """Let somebody's session run on one GPU."""
    caller = Caller(id_of(who) or 999_999, who)
    request = LaunchRequest("jupyterlab", 1, "h100", GIB, 1, "personal", "university")
    held = factory.enforcer.hold(caller, request, ServerKey(caller.user_id, name), door="page", actor=who, is_starting=True)
    factory.meter.started(held.id, datetime.now(UTC))
    factory.meter.ready(held.id, datetime.now(UTC))


@contextmanager
def live_place(folder: Path) -> Iterator[PageServer]:
    """Serve the pages of a platform with four GPUs, on one of which a session of the admin runs."""
    url = f"sqlite:///{folder / 'platform.sqlite'}"
    upgrade(url)
    settings = Settings(data_dir=folder, database_url=url)
    factory = Factory(settings)
    factory.enforcer.register_devices([GpuDevice(f"GPU-{number}", "h100", 80 * GIB, index=number) for number in range(4)], 512 * GIB, 64)
    run(factory, ADMIN, "one")
    with page_server(settings, factory) as server:
        yield server
    factory.close()


@contextmanager
def reader(server: PageServer, chromium: Browser) -> Iterator[Page]:
    """Return a page of the admin's browser."""
    address = f"http://127.0.0.1:{server.port}{PREFIX}"
    context = chromium.new_context(base_url=address, viewport={"width": 1280, "height": 900}, extra_http_headers={"Authorization": f"Bearer {ADMIN}"})
    page = context.new_page()
    page.set_default_timeout(45_000)
    yield page
    context.close()


def is_refresh(request: Request) -> bool:
    """Whether a page reads a part of itself again."""
    return request.headers.get("hx-request") == "true"
