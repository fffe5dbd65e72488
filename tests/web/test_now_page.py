"""Admin's first page: what it says of sessions, requests and GPUs, and what it says before it acts."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.services.platform.pages.now import done_sentence
from aiplatform_hub.web.no_breaks import NO_BREAK
from aiplatform_hub.web.view_models import admin
from aiplatform_hub.web.view_models import now as view
from tests.web import now_samples
from tests.web.now_samples import DEVICES, IDLE, KNOWN, PROBLEM, now_page, requests
from tests.web.samples import CATALOG, HOSTILE, NOW, PATHS, QUEUED, RUNNING


def html_of(page_template: str, **values: object) -> str:
    return now_samples.html_of(page_template, **values).replace(NO_BREAK, " ")


def admin_html(page: view.NowPage) -> str:
    return html_of("admin.html", page=admin.AdminPage(place=page.place), now=page)


def test_a_session_says_what_its_gpus_do_for_how_long_they_are_idle_and_when_it_ends() -> None:
    busy, idle = now_page().sessions
    assert (busy.use, busy.use_percent, busy.idle, busy.cost, busy.ends) == ("77 %", 77, "", "6.20 EUR", None)
    assert (idle.use, idle.idle, idle.ends_why, idle.can_extend) == ("0 %", "idle for 12 min", "its GPUs are idle, if somebody waits", True)


def test_what_is_not_known_is_not_idle() -> None:
    known = replace(KNOWN, samples={"GPU-a": GpuSample(NOW, 92.4, 1)}, idle_since={})
    row = view.session_row(RUNNING, known, CATALOG, PATHS)
    assert (row.use, row.use_percent, row.idle) == ("unknown", None, "")
    without = replace(RUNNING, devices=(), request=replace(RUNNING.request, gpus=0, gpu_type=None))
    assert view.session_row(without, known, CATALOG, PATHS).use == ""


@pytest.mark.parametrize(
    ("query", "is_found"),
    [
        ("", True),
        ("ada", True),
        ("ADA train", True),
        ("nvidia", True),
        ("vision", True),
        ("gpu-b", True),
        ("PyTorch", True),
        ("bob", False),
        ("ada bob", False),
    ],
)
def test_every_word_of_a_search_has_to_be_found(query: str, is_found: bool) -> None:
    assert view.matches(RUNNING, CATALOG, query) is is_found


def test_only_what_is_not_next_and_asks_for_gpus_can_be_moved() -> None:
    moved, behind = requests()
    assert (moved.is_moved, moved.can_move) == (True, False)
    assert (behind.is_moved, behind.can_move) == (False, True)
    assert "An admin moved another request before it" in behind.card.why


def test_a_drained_gpu_says_by_whom_and_why_and_can_be_given_out_again() -> None:
    free, _, drained = now_page().gpus
    assert (free.state, free.can_drain, free.drain_id) == ("held", True, None)
    assert (drained.state, drained.can_drain, drained.drain_id, drained.note) == ("drained, still held", False, 4, f"by root: {HOSTILE}")
    (empty,) = view.gpu_lines((replace(DEVICES[0], is_drained=True),), (), CATALOG, {})
    assert (empty.state, empty.drain_id) == ("drained", None), "drained with its machine: nothing to undo for it alone"
    html = admin_html(now_page(machine_drain_id=3, machine_note="by root: drivers"))
    assert "The whole machine is drained" in html
    assert 'id="drain-machine"' not in html


def test_slots_of_a_cluster_are_cordoned_there() -> None:
    slot = GpuDevice("n1/nvidia.com/gpu/0", "h100", 0, product_name="NVIDIA-H100", node="n1")
    page = now_page(gpus=view.gpu_lines((slot,), (), CATALOG, {}), place="cluster")
    assert not page.gpus[0].can_drain
    html = admin_html(page)
    assert "kubectl cordon" in html
    assert "admin/drain" not in html


def test_before_a_stop_it_says_what_is_lost() -> None:
    losses = tuple(view.loss(a, KNOWN, CATALOG, PATHS) for a in (RUNNING, IDLE, QUEUED))
    assert [each.is_busy for each in losses] == [True, False, False]
    assert view.loss_sentences(losses) == (
        "2 sessions stop. Files in home folders stay; what runs now, and everything only in memory, is lost.",
        "1 of them uses its GPUs now: that work is lost.",
        "1 request leaves the queue and loses its place.",
        "2 people are told.",
    )
    html = html_of("now_stop.html", losses=losses, sentences=view.loss_sentences(losses), message=f'"{HOSTILE}', problem=PROBLEM)
    assert HOSTILE not in html
    assert "runs for 2 h 4 min" in html
    assert 'value="&#34;&lt;script' in html, "a message is not lost by a refusal"
    assert "Nothing to stop" in html_of("now_stop.html", losses=(), sentences=(), message="", problem=None)


def test_what_others_wrote_is_escaped_everywhere() -> None:
    for html in (admin_html(now_page(query=HOSTILE, done=HOSTILE)), *(page() for page in now_samples.PAGES.values())):
        assert HOSTILE not in html
        assert "&lt;script&gt;" in html


def test_nothing_found_and_nothing_there_are_not_the_same() -> None:
    nothing = {"sessions": (), "requests": (), "sessions_found": 0, "requests_found": 0}
    assert "No session is like that." in admin_html(now_page(**nothing, query="x"))
    empty = admin_html(now_page(**nothing, sessions_in_all=0, requests_in_all=0))
    assert "Nobody holds anything." in empty
    assert "Nobody waits." in empty


def test_more_than_is_shown_is_said() -> None:
    html = admin_html(now_page(sessions_in_all=900, sessions_found=900))
    assert "2 of 900 are shown; filter for the others." in html


@pytest.mark.parametrize(
    ("what", "number", "sentence"),
    [
        ("extend", "2", "2 sessions were extended."),
        ("stop", "1", "1 session or request is being stopped."),
        ("extend", "x", ""),
        ("<b>", "1", ""),
        ("", "", ""),
    ],
)
def test_what_was_done_is_said_in_words_of_ours(what: str, number: str, sentence: str) -> None:
    assert done_sentence(what, number) == sentence


def test_rows_keep_their_boxes_over_a_refresh() -> None:
    html = admin_html(now_page())
    assert html.count("hx-preserve") == 4
    assert f'id="pick-{UUID(int=1)}" hx-preserve' in html
