"""The trial as a person starts it, and a real browser looking at it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from aiplatform_hub.clients.processes import stop_session
from aiplatform_hub.clients.spool import Spool
from aiplatform_hub.config import Settings
from tests.support.hub import free_port

REPOSITORY = Path(__file__).parents[2]
EXPECT_MILLISECONDS = 30_000
expect.set_options(timeout=EXPECT_MILLISECONDS)  # what is awaited comes in its own time on a busy machine
START_SECONDS = 180
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
"""Also: no connections of its own."""
_PASSWORD = re.compile(r"\s(student|researcher|guest|admin)\s+([a-z2-9]{12})(?:\s|$)")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="write docs/images/{launch,home}.png")


@dataclass
class Trial:
    """A running ``aiplatform run --demo``."""

    url: str
    passwords: dict[str, str]
    folder: Path
    push_origin: str
    """The push service that it may write to; a test that wants one starts it there."""


@pytest.fixture(scope="session")
def trial() -> Iterator[Trial]:
    with started_trial() as started:
        yield started


@contextmanager
def started_trial() -> Iterator[Trial]:
    """Start a trial, and take it down again; for tests whose trial is of no use to others afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="aiplatform-browser-", dir="/var/tmp"))
    folder.chmod(0o711)
    port = free_port()
    ports = "\n".join((f"c.AIPlatform.platform_port = {free_port()}", f"c.AIPlatform.keeper_port = {free_port()}", f"c.JupyterHub.hub_port = {free_port()}"))
    config, push_origin = folder / "trial_config.py", f"http://127.0.0.1:{free_port()}"
    notifiers = {"webpush": {"contact": "mailto:admin@example.org", "services": [push_origin]}}
    config.write_text(f"c = get_config()\n{ports}\nc.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{free_port()}'\nc.AIPlatform.notifiers = {notifiers}\n")
    command = [str(Path(sys.executable).with_name("aiplatform")), "run", "--demo", "--simulated-gpus", "4", "--port", str(port)]
    log = folder / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder / "data"), "--config", str(config)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Trial(f"http://127.0.0.1:{port}", _wait_for_passwords(process, log), folder, push_origin)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        spool = Spool(Settings(data_dir=folder / "data").spool_dir)
        for allocation_id in spool.allocation_ids():
            stop_session(spool, allocation_id, 0.2)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for_passwords(process: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        text = log.read_text()
        if "Ctrl-C stops" in text:
            return dict(_PASSWORD.findall(text))
        assert process.poll() is None, f"the trial ended:\n{text}"
        time.sleep(0.2)
    raise AssertionError(f"the trial is not ready after {START_SECONDS} s:\n{log.read_text()}")


# Not for the whole run: while it lives, Playwright's event loop runs in this thread, and other tests want their own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


def stop_everything(page: Page) -> None:
    """Stop what the page's person runs, and wait until it is over."""
    page.goto("/services/platform/home")
    addresses = [link.get_attribute("href") or "" for link in page.locator("a[data-stop]").all()]
    for address in addresses:
        page.goto(address)
        page.click("main form button")
    page.goto("/services/platform/home")
    for _ in range(120):
        if page.locator("[data-state=queued], [data-state=running], [data-state=starting], [data-state=stopping]").count() == 0:
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError("something still runs after a minute")


@dataclass
class Visitor:
    """Opens browsers for people of the trial."""

    trial: Trial
    browser: Browser
    users: set[str] = field(default_factory=set)
    """Who was logged in."""

    def open(self, user: str | None, *, width: int = 1280, theme: str = "light", has_scripts: bool = True) -> Page:
        """Return a page in a browser of its own, logged in as a person; None logs nobody in."""
        context = self.browser.new_context(
            base_url=self.trial.url,
            viewport={"width": width, "height": 800},
            color_scheme="dark" if theme == "dark" else "light",
            java_script_enabled=has_scripts,
        )
        page = context.new_page()
        page.set_default_timeout(45_000)
        if user is not None:
            self.users.add(user)
            page.goto("/hub/login")
            page.fill("#username_input", user)
            page.fill("#password_input", self.trial.passwords[user])
            page.click("#login_submit")
            page.wait_for_url("**/services/platform/home")
        return page


@pytest.fixture
def visitor(trial: Trial, chromium: Browser) -> Iterator[Visitor]:
    opened = Visitor(trial, chromium)
    yield opened
    for context in chromium.contexts:
        context.close()
    for user in sorted(opened.users - {"admin"}, reverse=True):
        stop_everything(opened.open(user, has_scripts=False))
    for context in chromium.contexts:
        context.close()
