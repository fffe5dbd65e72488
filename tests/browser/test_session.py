"""The first session of a student, from login to the bill."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as TooSlowError

from tests.browser.conftest import Visitor, stop_everything

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def run_cell(page: Page, code: str) -> str:
    """Run code in a new notebook of JupyterLab and return what it prints."""
    page.locator(".jp-LauncherCard[data-category=Notebook]").first.click(timeout=60_000)
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first).to_be_attached(timeout=60_000)
    output = page.locator(".jp-OutputArea-output pre").first
    for _ in range(3):  # a kernel that has just come up may miss the first request
        page.locator(".jp-Cell .cm-content").first.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(code)
        page.keyboard.press("Shift+Enter")
        try:
            output.wait_for(timeout=60_000)
        except TooSlowError:
            continue
        return output.inner_text()
    raise AssertionError("the cell printed nothing")


def test_student_launches_works_stops_and_sees_the_cost(visitor: Visitor, request: pytest.FixtureRequest) -> None:
    page = visitor.open("student")
    page.goto("/services/platform/launch")
    page.check("#template-jupyterlab")
    page.check("#gpus-2")
    expect(page.locator("#outcome")).to_contain_text("Free now")
    expect(page.locator("label[for=gpus-3]")).to_contain_text("over your limit: 2")
    if request.config.getoption("--pictures", default=False):
        picture(page, "launch")
    page.click("#start")
    page.wait_for_url("**/user/student/jupyterlab/lab**", timeout=60_000)
    devices = run_cell(page, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])").strip().split(",")
    assert len(set(devices)) == 2
    assert all(device.startswith("GPU-SIM-") for device in devices)

    home = page.context.new_page()
    home.goto("/services/platform/home")
    card = home.locator("[data-state=running]")
    expect(card).to_contain_text("2 × Simulated GPU")
    expect(card).to_contain_text("Cost so far")
    expect(home.get_by_text("2 of 4 free")).to_be_visible()
    if request.config.getoption("--pictures", default=False):
        picture(home, "home")
    page.close()
    home.click("a[data-stop]")
    expect(home.locator("#confirm-dialog")).to_be_visible()
    home.click("#confirm-yes")
    expect(home.locator("[data-state=ended]").first).to_contain_text("You stopped it", timeout=60_000)
    expect(home.get_by_text("4 of 4 free")).to_be_visible()

    home.click("[data-state=ended] h3 a")
    expect(home.locator(".ap-timeline")).to_contain_text("The program began to run")
    for device in devices:
        expect(home.locator("main")).to_contain_text(device)
    home.goto("/services/platform/usage")
    expect(home.locator("tfoot")).to_contain_text("EUR")
    assert float(home.locator("tfoot td").first.inner_text()) > 0


def picture(page: Page, name: str) -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(500)
    page.screenshot(path=IMAGES / f"{name}.png")


def test_limit_in_use_says_what_holds_it_and_what_to_do_and_can_be_waited_for(visitor: Visitor) -> None:
    page = visitor.open("student")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&server_name=train-1")
    page.click("#start")
    page.wait_for_url("**/user/student/train-1/**", timeout=60_000)
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=2&server_name=train-2")
    expect(page.locator("label[for=gpus-2]")).to_contain_text("over your limit: stop train-1")
    expect(page.locator("#problem")).to_contain_text("train-1 holds 1")
    expect(page.locator("#problem")).to_contain_text("Stop train-1")
    expect(page.locator("#outcome")).to_contain_text("It waits until your limit has room.")
    page.click("#start")
    expect(page.locator("[data-state=queued]")).to_contain_text("You hold 1 of 2 GPUs allowed", timeout=30_000)
    page.locator("[data-state=running]").get_by_role("link", name="Stop").click()
    page.click("#confirm-yes")
    expect(page.locator("[data-state=running]")).to_contain_text("train-2", timeout=60_000)
    stop_everything(page)


def test_refusal_keeps_the_choices_and_says_what_to_do(visitor: Visitor) -> None:
    page = visitor.open("student")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=3&server_name=train-3")
    expect(page.locator("label[for=gpus-3]")).to_contain_text("over your limit: 2")
    page.click("#start")
    alert = page.locator("#problem [role=alert]")
    expect(alert).to_contain_text("Ask an administrator for a higher tier")
    expect(page.locator("#gpus-3")).to_be_checked()
    expect(page.locator("#server_name")).to_have_value("train-3")


def test_start_again_launches_the_last_choice_with_one_click(visitor: Visitor) -> None:
    page = visitor.open("researcher")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&server_name=again")
    page.click("#start")
    page.wait_for_url("**/user/researcher/again/**", timeout=60_000)
    stop_everything(page)
    page.goto("/user/researcher/again/")
    expect(page.locator("h1")).to_have_text("“again” is not running")
    page.click("#start")
    expect(page.locator("#server_name")).to_have_value("again")
    page.goto("/services/platform/home")
    page.get_by_role("button", name="Start JupyterLab again").click()
    page.wait_for_url("**/user/researcher/again/**", timeout=60_000)
    stop_everything(page)


def test_launch_and_stop_work_without_scripts(visitor: Visitor) -> None:
    page = visitor.open("guest", has_scripts=False)
    page.goto("/services/platform/launch")
    page.check("#gpus-1")
    page.click("#start")
    expect(page.locator("#problem [role=alert]")).to_contain_text("no GPUs")
    expect(page.locator("#gpus-1")).to_be_checked()
    page.check("#gpus-0")
    page.click("#start")
    page.wait_for_url("**/hub/spawn-pending/guest/jupyterlab**")
    page.goto("/services/platform/home")
    expect(page.locator("[data-state=running], [data-state=starting]")).to_have_count(1)
    page.wait_for_timeout(4000)
    stop_everything(page)


def test_a_field_at_fault_keeps_what_was_typed(visitor: Visitor) -> None:
    page = visitor.open("guest", has_scripts=False)
    page.goto("/services/platform/launch?server_name=Not%20a%20Slug%20%3Cscript%3E")
    page.click("#start")
    expect(page.locator("#server_name-error")).to_contain_text("1 to 30 characters")
    expect(page.locator("#server_name")).to_have_value("Not a Slug <script>")


def test_keyboard_chooses_a_chip_and_keeps_the_focus(visitor: Visitor) -> None:
    page = visitor.open("student")
    page.goto("/services/platform/launch?environment_template=jupyterlab&gpus=0")
    page.focus("#gpus-0")
    with page.expect_response("**/services/platform/launch?**"):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#gpus-1")).to_be_checked()
    expect(page.locator("#outcome")).to_contain_text("1.50 EUR per hour")
    assert page.evaluate("document.activeElement.id") == "gpus-1"


def test_home_moves_without_a_reload(visitor: Visitor) -> None:
    watching, acting = visitor.open("student"), visitor.open("student")
    watching.goto("/services/platform/home")
    acting.goto("/services/platform/launch?environment_template=jupyterlab&gpus=1&server_name=moves")
    acting.click("#start")
    expect(watching.locator("[data-state=running]")).to_contain_text("moves", timeout=60_000)
    stop_everything(acting)
    expect(watching.locator("[data-state=running]")).to_have_count(0, timeout=60_000)
