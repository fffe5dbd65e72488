"""Golden pages, and what holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import jinja2
import pytest

from aiplatform_hub.domain.allocations import Allocation, AllocationEvent, AllocationState, GpuDevice
from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.domain.limits import Limit, LimitUsage
from aiplatform_hub.domain.notices import Notice, NoticeKind, Subject, words
from aiplatform_hub.domain.presets import Preset
from aiplatform_hub.domain.push import PushSubscription
from aiplatform_hub.domain.queue_reasons import QUEUE_IT
from aiplatform_hub.domain.queueing import QueueEntry, WaitCode, WaitReason
from aiplatform_hub.domain.quota import Decision, Outcome
from aiplatform_hub.domain.report_spans import Span
from aiplatform_hub.domain.wait_estimates import WaitEstimate
from aiplatform_hub.errors import ConflictError, QuotaInUseError, Reason
from aiplatform_hub.operations.cost_reporter import ReportRow
from aiplatform_hub.operations.prospects import Prospect
from aiplatform_hub.web.launch_form import choices_of
from aiplatform_hub.web.rendering import HUB_TEMPLATES_DIR, STATIC_DIR, WEB_DIR, environment, render
from aiplatform_hub.web.view_models import admin, enforcement, usage
from aiplatform_hub.web.view_models.activity import activity_bar
from aiplatform_hub.web.view_models.announcements import maintenance_lines
from aiplatform_hub.web.view_models.energy import energy_line, energy_total
from aiplatform_hub.web.view_models.environments import EnvironmentCard, HomePage, Money, environment_card, gpu_row, quota_bar
from aiplatform_hub.web.view_models.formats import stamp
from aiplatform_hub.web.view_models.inbox import inbox
from aiplatform_hub.web.view_models.launch import LaunchForm, Offer, launch_form
from aiplatform_hub.web.view_models.launch_chips import Quote
from aiplatform_hub.web.view_models.now import gpu_lines
from aiplatform_hub.web.view_models.presets import Act, Keep, keep
from aiplatform_hub.web.view_models.problem import problem_of
from aiplatform_hub.web.view_models.queue import Line
from aiplatform_hub.web.view_models.session import CostRow, SessionPage, session_facts, steps, why
from aiplatform_hub.web.view_models.session_series import efficiency_card, series_view
from aiplatform_hub.web.view_models.settings import settings_page
from aiplatform_hub.web.view_models.timeline import timeline
from aiplatform_hub.web.view_models.usage_chart import usage_chart
from aiplatform_hub.web.view_models.usage_comparison import comparison
from tests.web import billing_samples, now_samples, session_move_samples
from tests.web.admin_samples import ADMIN_PAGES
from tests.web.announcement_samples import WINDOW, admin_announcements
from tests.web.budget_samples import admin_budgets, admin_budgets_changing, admin_budgets_none
from tests.web.chargeback_samples import admin_chargeback, billing_centre, billing_chargeback
from tests.web.credit_samples import admin_credits
from tests.web.now_samples import now_page
from tests.web.price_samples import admin_prices
from tests.web.release_samples import policy, warned_home, warned_session
from tests.web.samples import CATALOG, ENDED, HOSTILE, HOSTILE_ONE, INTEREST, NOW, PATHS, QUEUED, RUNNING, STARTING, STOPPING, frame
from tests.web.series_samples import SERIES, SPANS, WARNING, WASTEFUL
from tests.web.test_showcase import shown
from tests.web.test_usage import DAYS

NOTHING_DONE = Act()


def card(allocation: Any) -> Any:
    return environment_card(allocation, cost=Money(Decimal("6.2"), "EUR"), catalog=CATALOG, now=NOW, paths=PATHS)


ENTRY = QueueEntry(QUEUED.id, 2, WaitReason(WaitCode.CAPACITY, requested="2", free="1"))


def waiting(allocation: Allocation = QUEUED, *, reader: str = "ada") -> EnvironmentCard:
    fewer = {0: Prospect(Decision(Outcome.ADMIT)), 1: Prospect(Decision(Outcome.ADMIT))} if reader == "ada" else {}
    line = Line(replace(ENTRY, id=allocation.id), INTEREST, fewer, reader, wait=WaitEstimate(600, 2100, 7200))
    return environment_card(allocation, cost=None, catalog=CATALOG, now=NOW, paths=PATHS, line=line)


def queued_home() -> str:
    soon_over = replace(QUEUED, id=UUID(int=7), server_name=HOSTILE, confirmed_at=NOW - INTEREST / 24 * 20)
    page = HomePage((card(RUNNING), waiting(), waiting(soon_over)), (), None, "", "Default", (), ())
    return render("home.html", frame(), page=page, problem=problem_of(ConflictError(f"It is held. {HOSTILE}")))


def home() -> str:
    bars = (quota_bar(LimitUsage(Limit("user", "ada", "gpus", Decimal(2)), Decimal(2), held_by=("train-1", HOSTILE)), CATALOG),)
    rows = (gpu_row("NVIDIA H100", free=1, held=2, unhealthy=1, is_simulated=False),)
    page = HomePage((card(RUNNING), card(STARTING)), (card(ENDED), card(HOSTILE_ONE)), card(ENDED), "PyTorch again (2 × NVIDIA H100)", "Default", bars, rows)
    return render("home.html", frame(), page=page, problem=None)


def first_home() -> str:
    return render("home.html", frame(), page=HomePage((), (), None, "", "Default", (), ()), problem=None)


def form() -> LaunchForm:
    projects = CATALOG.projects_of(frozenset({"vision"}), frozenset())
    fields = {"environment_template": "pytorch", "gpus": "2", "server_name": HOSTILE}
    one = choices_of(fields, catalog=CATALOG, gpu_types=("h100",), projects=projects, startable=["jupyterlab", "pytorch"])
    reason = Reason(
        "quota_in_use", "You may hold 2 GPUs at once; train-1 holds 1.", "gpus", "user:ada", "2", "1", "2", ("train-1",), ("Stop train-1.",), field="gpus"
    )
    decisions = {0: Decision(Outcome.ADMIT), 1: Decision(Outcome.ADMIT), 2: Decision(Outcome.DENY, "quota_in_use", (reason,))}
    offer = Offer(CATALOG, projects, ("h100",), {"jupyterlab": f"Not built. {HOSTILE}"})
    return launch_form(one, offer, Quote(decisions, Decimal(3), "EUR"), problem_of(QuotaInUseError(reason.message, (reason,))))


def kept(act: Act = NOTHING_DONE, *presets: Preset) -> Keep:
    one = choices_of({"environment_template": "pytorch", "gpus": "2"}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    return keep(one, presets, act, catalog=CATALOG, paths=PATHS, origin="https://hub.example.org")


def launch() -> str:
    saved = Preset(
        UUID(int=21), 7, HOSTILE, {"environment_template": "pytorch", "gpus": 2, "gpu_type": "h100", "memory_gib": 16}, may_wait=False, created_at=NOW
    )
    gone = replace(saved, id=UUID(int=22), name=f"gone {HOSTILE}", deleted_at=NOW)
    return render("launch.html", frame("launch"), form=form(), keep=kept(Act(saved=saved, deleted=gone), saved), maintenance=maintenance_lines((WINDOW,)))


def queueing_launch() -> str:
    one = choices_of({"environment_template": "pytorch", "gpus": "2"}, catalog=CATALOG, gpu_types=("h100",), projects=(), startable=["pytorch"])
    taken = Reason("capacity", "3 of 4 NVIDIA H100 are held by others.", "gpus", "machine", "4", "3", "2", (), ("Choose 1 GPU.", QUEUE_IT))
    never = Reason("quota_exceeded", "You may hold 2.", "gpus", "user:ada", "2", "0", "3")
    decisions = {1: Decision(Outcome.ADMIT), 2: Decision(Outcome.QUEUE, None, (taken,)), 3: Decision(Outcome.DENY, "quota_exceeded", (never,))}
    impossible = replace(decisions[3], impossible_because="No node has 4 GPUs.")
    offer = Offer(CATALOG, (), ("h100",), {})
    return render(
        "launch.html", frame("launch"), form=launch_form(one, offer, Quote(decisions | {4: impossible}, Decimal(3), "EUR", {2: 3})), keep=kept(), maintenance=()
    )


def usage_page() -> str:
    links = (usage.Link("By day", "/services/platform/usage?group_by=day", is_current=True), usage.Link(HOSTILE, "/x", is_current=False))
    page = usage.UsagePage(
        figures=usage.figures(DAYS.totals, DAYS.totals, {"EUR": Decimal(1)}),
        periods=links,
        groups=links,
        group_label="Day",
        heading="This month",
        rows=tuple(usage.row(row, "day", CATALOG) for row in DAYS.rows),
        total=usage.row(DAYS.totals[0], "total", CATALOG),
        chart=usage_chart(DAYS, Span(DAYS.start, DAYS.end), "day", "EUR"),
        comparison=comparison(DAYS, DAYS),
        complete_until=usage.report_stamp(DAYS),
        first_day="2026-11-10",
        last_day="2026-11-13",
        downloads=(usage.Link("CSV", "/services/platform/usage/report?format=csv&group_by=day", is_current=False),),
        activity=activity_bar(DAYS.totals),
        energy=energy_total(Energy(Fraction(12), timedelta(hours=20), Fraction(4800))),
    )
    return render("usage.html", frame("usage"), page=page, is_everybody=False, can_see_everybody=False)


def session() -> str:
    event = AllocationEvent(1, ENDED.id, NOW, AllocationState.ACTIVE, AllocationState.ENDED, "out_of_memory", "keeper")
    verdict, reasons = why("admit", ())
    page = SessionPage(
        card=card(HOSTILE_ONE),
        facts=session_facts(HOSTILE_ONE, CATALOG),
        steps=steps(HOSTILE_ONE, (event,)),
        verdict=verdict,
        reasons=reasons,
        costs=(CostRow(stamp(NOW), stamp(NOW), "2 × NVIDIA H100", "2.00", "3.00 EUR", "6.00 EUR"),),
        total="6.00 EUR",
        log=f"line\n{HOSTILE}",
        log_note="",
        activity=activity_bar((ReportRow({}, Decimal(3600), Decimal(3600), Decimal(0), 1, unknown_gpu_seconds=Decimal(3600)),)),
        timeline=timeline(SPANS, (WARNING,), is_over=True),
        series=series_view(SERIES, ENDED, CATALOG, is_cluster=False),
        efficiency=efficiency_card(WASTEFUL),
        energy=energy_line(Energy(Fraction(9, 4), timedelta(hours=1), Fraction(900)), timedelta(hours=2), 1),
        smaller_url="/services/platform/launch?gpus=1",
    )
    return render("session.html", frame(), page=page, problem=None)


def queued_session() -> str:
    events = (
        AllocationEvent(1, QUEUED.id, NOW, None, AllocationState.QUEUED, "queued", "ada"),
        AllocationEvent(2, QUEUED.id, NOW, AllocationState.QUEUED, AllocationState.QUEUED, "changed", "ada"),
    )
    verdict, reasons = why("queue", (Reason("capacity", "All are in use."),))
    page = SessionPage(
        waiting(), session_facts(QUEUED, CATALOG, waiting().facts[1:3]), steps(QUEUED, events), verdict, reasons, (), "–", "", "Nothing was written yet."
    )
    return render("session.html", frame(), page=page, problem=None)


def test_an_environment_that_is_being_stopped_says_so() -> None:
    assert card(STOPPING).why == "It is being stopped; its GPUs are free again as soon as it has ended."
    without = replace(STOPPING, request=replace(STOPPING.request, gpus=0, gpu_type=None))
    assert "its memory is free" in card(without).why


def test_admin_lists_the_gpus_of_a_cluster_node_by_node() -> None:
    real = GpuDevice("n1/nvidia.com/gpu/1", "h100", 0, index=1, product_name="NVIDIA-H100", node="n1")
    other = GpuDevice("n2/nvidia.com/gpu/0", "h100", 0, product_name="NVIDIA-H100", node="n2")
    starting = GpuDevice("spot+0/nvidia.com/gpu/0", "h100", 0, product_name="Spot nodes", node_pool="spot")
    rows = gpu_lines((starting, other, real), (), CATALOG, {})
    assert [(row.name, row.uuid, row.state) for row in rows] == [
        ("NVIDIA-H100", "n1/nvidia.com/gpu/1", "free"),
        ("NVIDIA-H100", "n2/nvidia.com/gpu/0", "free"),
        ("Spot nodes", "spot+0/nvidia.com/gpu/0", "not started"),
    ]


def test_admin_of_a_cluster_shows_slots_and_no_memory_that_nobody_knows() -> None:
    device = GpuDevice("n1/nvidia.com/gpu/0", "h100", 0, product_name="NVIDIA-H100", node="n1")
    page = admin.AdminPage(place="cluster")
    now = now_page(gpus=gpu_lines((device,), (), CATALOG, {}), place="cluster")
    html = render("admin.html", frame("admin", is_admin=True), page=page, now=now, tabs=())
    assert ">Slot<" in html
    assert ">Memory<" not in html
    assert "n1/nvidia.com/gpu/0" in html


def test_admin_of_a_cluster_says_what_its_network_must_do() -> None:
    lines = dict(enforcement.pod_lines(has_gpus=True))
    assert list(lines.values()) == [True, False, True]
    assert "NetworkPolicies" in next(text for text, is_bound in lines.items() if not is_bound)
    assert len(enforcement.pod_lines(has_gpus=False)) == 2


def admin_page() -> str:
    page = admin.AdminPage()
    return render("admin.html", frame("admin", is_admin=True), page=page, now=now_page(), tabs=())


def stop() -> str:
    return render("stop.html", frame(), card=card(RUNNING), problem=None, back="home")


def withdraw() -> str:
    return render("stop.html", frame(), card=waiting(reader="root"), problem=None, back="admin")


def problem() -> str:
    return render("problem.html", frame(), problem=problem_of(QuotaInUseError(HOSTILE)))


def inbox_page() -> str:
    told = [
        (Notice(8, "k", NOW, "ada", UUID(int=1), kind, {}), words(kind, Subject("PyTorch", HOSTILE, "2 × NVIDIA H100", "1a2b3c4d", NOW, cause)))
        for kind, cause in ((NoticeKind.TURN_CAME, ""), (NoticeKind.RELEASED, "idle"))
    ]
    told[1] = (replace(told[1][0], id=7), told[1][1])
    shown = replace(frame(), inbox=inbox(told, newest=8, is_waiting=True, paths=PATHS))
    return render("problem.html", shown, problem=problem_of(ConflictError("It runs.")))


def settings() -> str:
    subscriptions = [PushSubscription(UUID(int=9), "ada", f"https://push.example/{HOSTILE}", HOSTILE, HOSTILE, f"Firefox on {HOSTILE}", NOW, NOW)]
    return render("settings.html", replace(frame("settings"), push_key="key-of-the-test"), page=settings_page(subscriptions, PATHS, showback=True))


def offline() -> str:
    return environment().get_template("offline.html").render(paths=PATHS, version="1")


PAGES = {
    "inbox": inbox_page,
    "home": home,
    "first-home": first_home,
    "queued-home": queued_home,
    "warned-home": warned_home,
    "launch": launch,
    "queueing-launch": queueing_launch,
    "usage": usage_page,
    "session": session,
    "queued-session": queued_session,
    "warned-session": warned_session,
    "policy": policy,
    "admin": admin_page,
    "admin_announcements": admin_announcements,
    "admin-prices": admin_prices,
    "admin-budgets": admin_budgets,
    "admin-budgets-changing": admin_budgets_changing,
    "admin-budgets-none": admin_budgets_none,
    "admin-credits": admin_credits,
    "admin-chargeback": admin_chargeback,
    "billing-chargeback": billing_chargeback,
    "billing-centre": billing_centre,
    **now_samples.PAGES,
    **billing_samples.PAGES,
    **session_move_samples.PAGES,
    "stop": stop,
    "withdraw": withdraw,
    "problem": problem,
    "settings": settings,
    "offline": offline,
    **ADMIN_PAGES,
    "showcase": shown,
}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_as_reviewed(name: str, same_as_golden: Callable[[str, str], None]) -> None:
    same_as_golden(name, PAGES[name]())


@pytest.mark.parametrize("name", PAGES)
def test_no_text_becomes_markup_and_nothing_is_inline(name: str) -> None:
    html = PAGES[name]()
    assert HOSTILE not in html
    assert not re.search(r"<script(?![^>]*\bsrc=)", html)
    assert not re.search(r"\s(style|on[a-z]+)=", html)
    assert not re.search(r'(src|href|action)="(https?:)?//', html)


@pytest.mark.parametrize("name", PAGES)
def test_page_has_one_main_one_heading_and_unique_ids(name: str) -> None:
    html = PAGES[name]()
    assert html.count("<main") == html.count("<h1") == 1
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "usage"])
def test_forms_that_change_something_carry_their_token(name: str) -> None:
    for one in re.findall(r'<form method="post".*?</form>', PAGES[name](), re.DOTALL):
        assert 'name="_xsrf" value="token-of-the-test"' in one


def test_every_page_template_is_shown_here() -> None:
    names = {path.stem for path in (WEB_DIR / "pages").glob("[!_]*.html")} - {"base", "charts", "components", "release"}
    assert names == set(PAGES) - {
        *("first-home", "queued-home", "warned-home", "queueing-launch", "queued-session", "warned-session", "withdraw"),
        *("no-billing", "refused-billing-line", "billing-credit-chosen", "admin-budgets-changing", "admin-budgets-none"),
    }


def test_stylesheet_can_be_inlined_in_the_hubs_pages() -> None:
    source = (HUB_TEMPLATES_DIR / "aiplatform_style.html").read_text()
    assert source == (STATIC_DIR / "aiplatform.css").read_text()
    assert environment().from_string(source).render() == source.rstrip("\n")
    assert "</" not in source


def test_top_level_templates_are_the_hubs_pages() -> None:
    assert (WEB_DIR.parents[1] / "templates").resolve() == HUB_TEMPLATES_DIR.resolve()


def test_vendored_script_comes_with_its_licence() -> None:
    assert (STATIC_DIR / "vendor" / "htmx-LICENSE.txt").read_text().startswith("Zero-Clause BSD")
    assert [path.name for path in (STATIC_DIR / "vendor").glob("*.js")] == ["htmx-2.0.11.min.js"]


@pytest.mark.parametrize("name", sorted(path.name for path in HUB_TEMPLATES_DIR.glob("*.html") if path.name != "aiplatform_style.html"))
def test_hub_page_parses(name: str) -> None:
    jinja2.Environment(autoescape=True).parse(Path(HUB_TEMPLATES_DIR / name).read_text())


def test_spawn_form_offers_the_same_choices_and_survives_their_absence() -> None:
    page = environment().get_template("options_form.html")
    html = page.render(form=form(), launch_url="/services/platform/launch")
    assert 'name="environment_template"' in html
    assert 'name="server_name"' not in html
    assert HOSTILE not in html
    assert "cannot be read just now" in page.render(form=None, launch_url="/x")
