"""A policy that keeps GPUs for a class, as people see it: when a session ends, before it is launched and after."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import REPOSITORY, Trial, Visitor

START = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=2)


@pytest.fixture
def apply(trial: Trial) -> Iterator[Callable[[str], str]]:
    """Apply a policy as an operator does; afterwards the shipped one counts again."""

    def applied(text: str) -> str:
        command = [str(Path(sys.executable).with_name("aiplatform")), "policy", "apply", "-", "--data-dir", str(trial.folder / "data")]
        done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=True)
        return done.stdout

    yield applied
    applied("")


def window() -> str:
    end = START + timedelta(hours=2)
    return f"session_cap: 8h\nreservations:\n- {{project: nlp, gpus: 3, start: {START:%Y-%m-%dT%H:%M:%SZ}, end: {end:%Y-%m-%dT%H:%M:%SZ}}}\n"


def is_wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def test_person_is_told_when_a_session_ends_for_a_class(visitor: Visitor, apply: Callable[[str], str]) -> None:
    assert "counts now" in apply(window())
    page = visitor.open("student", width=360)
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=2")
    outcome = page.locator("#outcome")
    for _ in range(20):  # within two seconds
        if "It ends at" in outcome.inner_text():
            break
        page.wait_for_timeout(200)
        page.reload()
    expect(outcome).to_contain_text("when the class of project Language begins.")
    assert START.isoformat(timespec="seconds")[:16] in (outcome.locator("time").get_attribute("datetime") or "")
    page.check("#gpus-1")
    expect(outcome).not_to_contain_text("It ends at")
    assert not is_wide(page)
    page.goto("/hub/spawn/student")  # where no count is chosen beforehand
    expect(page.locator("[data-class-end]")).to_contain_text("With 2 GPUs it ends at")
    expect(page.locator("[data-class-end]")).to_contain_text("when the class of project Language begins.")
    assert not is_wide(page)
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=2")
    page.click("#start")
    page.wait_for_url(lambda url: "/launch" not in url)
    page.goto("/services/platform/home")
    card = page.locator("[data-state=running], [data-state=starting]").first
    expect(card).to_contain_text("Ends at the latest")
    expect(card).to_contain_text("when the class of project Language begins")
    assert not is_wide(page)


@pytest.mark.parametrize(("width", "theme"), [(360, "dark"), (1280, "light")])
def test_admin_sees_the_policy_and_its_windows(visitor: Visitor, apply: Callable[[str], str], width: int, theme: str) -> None:
    apply(window())
    page = visitor.open("admin", width=width, theme=theme)
    page.goto("/services/platform/admin")
    policy = page.locator("section[aria-labelledby=policy]")
    for _ in range(20):
        if policy.locator("table").count():
            break
        page.wait_for_timeout(200)
        page.reload()
    expect(policy).to_contain_text("Version")
    expect(policy).to_contain_text("shipped: 6h")
    expect(policy.locator("tbody tr")).to_have_count(1)
    expect(policy.locator("tbody tr")).to_contain_text("Language")
    assert not is_wide(page)
