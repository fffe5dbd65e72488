"""A person's session on the cluster in a real browser: login, launch page, JupyterLab with its GPUs, stop, usage."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.conftest import CHROMIUM_ARGUMENTS
from tests.browser.test_session import run_cell
from tests.support.hub import PASSWORD

SINGLEUSER_IMAGE = "localhost/aiplatform-singleuser:test"


@pytest.fixture(scope="module")
def stack(make_stack):
    template = {
        "display_name": "JupyterLab",
        "description": "A plain JupyterLab",
        "gpus": {"min": 0, "max": 4, "default": 0},
        "memory_gib": {"min": 1, "max": 4, "default": 1},
        "cpu_cores": {"min": 1, "max": 2, "default": 1},
        "command": ["jupyterhub-singleuser"],
        "container_image": SINGLEUSER_IMAGE,
    }
    return make_stack(people=("student",), templates={"jupyterlab": template})


@pytest.fixture
def page(stack):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS)
        opened = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 800}).new_page()
        opened.set_default_timeout(20_000)
        opened.goto("/hub/login")
        opened.fill("#username_input", "student")
        opened.fill("#password_input", PASSWORD)
        opened.click("#login_submit")
        opened.wait_for_url("**/services/platform/home")
        yield opened
        browser.close()


def test_student_launches_two_gpus_works_stops_and_sees_the_usage(stack, page):
    page.goto("/services/platform/launch")
    page.check("#template-jupyterlab")
    page.check("#gpus-2")
    expect(page.locator("#outcome")).to_contain_text("Free now")
    page.click("#start")
    page.wait_for_url("**/user/student/jupyterlab/lab**", timeout=40_000)
    devices = run_cell(page, "import os; print(os.environ['NVIDIA_VISIBLE_DEVICES'])").strip().split(",")
    assert len(set(devices)) == 2
    page.goto("/services/platform/home")
    expect(page.locator("[data-state=running]")).to_contain_text("2 × NVIDIA A100")
    expect(page.get_by_text("2 of 4 free")).to_be_visible()
    page.click("a[data-stop]")
    page.click("#confirm-yes")
    expect(page.locator("[data-state=ended]").first).to_contain_text("You stopped it", timeout=30_000)
    expect(page.get_by_text("4 of 4 free")).to_be_visible()
    page.goto("/services/platform/usage")
    assert float(page.locator("tfoot td").first.inner_text()) > 0
    [interval] = [interval for intervals in stack.intervals().values() for interval in intervals]
    assert interval.gpus == 2
    assert interval.gpu_type == "a100"


def test_a_bad_image_is_told_in_a_sentence_while_and_after_it_fails(stack, page):
    page.goto("/services/platform/launch")
    page.check("#template-no-image")
    page.check("#gpus-1")
    page.click("#start")
    expect(page.locator("body")).to_contain_text("image", timeout=40_000)
    assert "Traceback" not in page.content()
    page.goto("/services/platform/home")
    expect(page.get_by_text("4 of 4 free")).to_be_visible(timeout=40_000)
