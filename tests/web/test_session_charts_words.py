"""Charts and sentences of one session: what is known, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from aiplatform_hub.domain.efficiency import Efficiency
from aiplatform_hub.domain.series import MINUTE
from aiplatform_hub.domain.timeline import Phase, Span
from aiplatform_hub.domain.units import GIB
from aiplatform_hub.web.view_models.charts import Scale, line
from aiplatform_hub.web.view_models.environments import environment_card
from aiplatform_hub.web.view_models.formats import stamp
from aiplatform_hub.web.view_models.session import Step, steps_with_idleness
from aiplatform_hub.web.view_models.session_series import efficiency_card, series_view, smaller_url
from aiplatform_hub.web.view_models.timeline import idle_lines, timeline
from tests.web.samples import CATALOG, ENDED, NOW, PATHS, RUNNING
from tests.web.series_samples import SERIES, SPANS, START, WARNING, WASTEFUL, points

EMPTY = replace(SERIES, gpus=(), points=())


def view(series=SERIES, allocation=RUNNING, *, is_cluster: bool = False):
    found = series_view(series, allocation, CATALOG, is_cluster=is_cluster)
    assert found is not None
    return found


def test_line_is_broken_where_nothing_is_known() -> None:
    path, area = line([(0, 50), (1, 100), (3, 0)], Scale(4, 100))
    assert path == "M0 50 H250 V0 H500 M750 100 H1000"
    assert area == "M0 100 V50 H250 V0 H500 V100 Z M750 100 V100 H1000 V100 Z"


def test_line_stays_in_its_box() -> None:
    path, _ = line([(2, 900), (3, -1)], Scale(3.5, 100))
    assert path == "M571.4 0 H857.1 V100 H1000"


def test_each_gpu_has_its_charts_and_what_was_not_measured_has_none() -> None:
    groups = {group.title: [(chart.title, chart.summary, chart.top) for chart in group.charts] for group in view().groups}
    assert list(groups) == ["GPU 0, NVIDIA H100", "GPU 1 on <script>alert(1)</script>, NVIDIA H100", "Processor and memory"]
    assert groups["GPU 0, NVIDIA H100"] == [("Use", "mean 35 %, most 90 %", "100 %"), ("Memory", "8 GiB throughout", "80 GiB")]
    assert groups["Processor and memory"] == [
        ("Cores busy", "now 5.5, mean 3.38, most 5.5", "6 cores"),
        ("Memory", "mean 3.5 GiB, most 4 GiB", "16 GiB"),
    ]


def test_what_it_does_now_is_said_while_it_runs_and_only_of_a_fresh_minute() -> None:
    fresh = replace(SERIES, gpus=(replace(SERIES.gpus[0], points=points("GPU-a", *[None] * 10, 20, 63)),), points=())
    assert view(fresh).groups[0].charts[0].summary.startswith("now 63 %, mean 42 %")
    assert "now" not in view(fresh, ENDED).groups[0].charts[0].summary
    stale = replace(fresh, end=NOW + 8 * MINUTE)
    assert "now" not in view(stale).groups[0].charts[0].summary


def test_what_never_changes_is_said_once() -> None:
    assert view().groups[1].charts[0].summary == "0 % throughout"


def test_table_has_few_lines_and_says_what_is_not_known() -> None:
    found = view()
    assert found.columns == ("GPU 0 use", "GPU 0 memory", "GPU 1 use", "GPU 1 memory", "Cores", "Memory")
    assert [row.cells[0] for row in found.rows] == ["10 %", "90 %", "not known", "40 %", "0 %", "not known"]
    long = replace(SERIES, start=START, end=START + 600 * MINUTE, step=MINUTE, gpus=(replace(SERIES.gpus[0], points=points("GPU-a", *[10] * 120)),))
    assert (len(view(long).rows), view(long).row_length) == (24, "25 min")


@pytest.mark.parametrize(
    ("allocation", "is_cluster", "words"),
    [(RUNNING, False, "Nothing to see yet"), (ENDED, False, "Nothing is kept of it"), (RUNNING, True, "Nobody measures in this cluster")],
)
def test_empty_charts_say_why(allocation, is_cluster: bool, words: str) -> None:
    found = view(EMPTY, allocation, is_cluster=is_cluster)
    assert (found.groups, found.rows) == ((), ())
    assert found.note.startswith(words)


def test_long_session_says_that_it_began_before_its_charts() -> None:
    assert view(replace(SERIES, is_cut=True)).note == "Of its last 7 d; the REST API has what was before."
    assert view().note == ""


def test_what_never_ran_has_no_charts() -> None:
    assert series_view(EMPTY, replace(RUNNING, started_at=None), CATALOG, is_cluster=False) is None


@pytest.mark.parametrize(
    ("change", "headline", "advice", "fewer"),
    [
        ({}, "GPUs busy 23 % of 6 h 10 min", "1 GPU would have done.", 1),
        ({"gpus_needed": 2}, "GPUs busy 23 % of 6 h 10 min", "It needed all 2 at once.", None),
        ({"gpus_needed": 0}, "GPUs busy 23 % of 6 h 10 min", "It never used its GPUs: it could have run without one.", 0),
        ({"gpus": 1, "gpus_needed": 1}, "GPU busy 23 % of 6 h 10 min", "", None),
        ({"gpus": 1, "gpus_needed": 0}, "GPU busy 23 % of 6 h 10 min", "It never used its GPU: it could have run without one.", 0),
        ({"gpus_needed": None}, "GPUs busy 23 % of 6 h 10 min", "Too little is known of it to say how many GPUs would have done.", None),
    ],
)
def test_efficiency_in_words(change, headline: str, advice: str, fewer: int | None) -> None:
    found = efficiency_card(replace(WASTEFUL, **change))
    assert found is not None
    assert (found.headline, found.advice, found.smaller_gpus) == (headline, advice, fewer)
    assert found.lines == ("Most GPU memory at once: 9 GiB.", "Somebody looked for 6 h of that.")


def test_nothing_is_said_of_gpus_that_nobody_looked_at() -> None:
    assert efficiency_card(None) is None
    assert efficiency_card(Efficiency(2, timedelta(hours=1), timedelta(), None, None, None)) is None


@pytest.mark.parametrize(
    ("template", "needed", "query"),
    [("pytorch", 1, "gpus=1&gpu_type=h100"), ("pytorch", 0, "gpus=0&memory"), ("multi-gpu", 1, ""), ("gone", 1, ""), ("pytorch", 2, "")],
)
def test_smaller_start_is_offered_where_the_environment_allows_it(template: str, needed: int, query: str) -> None:
    ended = replace(ENDED, request=replace(ENDED.request, environment_template=template))
    card = environment_card(ended, cost=None, catalog=CATALOG, now=NOW, paths=PATHS)
    found = smaller_url(card, efficiency_card(replace(WASTEFUL, gpus_needed=needed)), CATALOG, PATHS)
    assert query in found
    assert bool(found) == bool(query)


def test_picture_of_its_time_has_a_legend_with_lengths_and_marks() -> None:
    found = timeline(SPANS, (WARNING,), is_over=False)
    assert found is not None
    assert [(part.kind, part.x, part.width) for part in found.parts][:2] == [("waiting", "0", "311.1"), ("starting", "311.1", "22.2")]
    assert [(key.label, key.text) for key in found.keys] == [
        ("In the queue", "28 min"), ("Starting", "2 min"), ("GPUs used", "35 min"), ("GPUs idle", "15 min"), ("Running, use not known", "10 min"), ("Warned", "once"),
    ]  # fmt: skip
    assert found.marks == ("777.8",)
    assert re.match(r"Its time\. In the queue: 28 min; Starting: 2 min;", found.label)
    assert timeline((), (), is_over=True) is None


def test_long_idleness_stands_in_the_list_where_it_began() -> None:
    lines = idle_lines(SPANS, NOW)
    assert [text for _, text in lines] == ["Its GPUs were idle for 15 min"]
    assert idle_lines(SPANS[:4], START + 50 * MINUTE)[0][1] == "Its GPUs have been idle since then, for 15 min"
    assert idle_lines([Span(Phase.IDLE, START, START + 9 * MINUTE)], NOW) == ()
    steps = (Step(stamp(START), "started", "keeper"), Step(stamp(NOW), "ended", "keeper"))
    assert [step.text for step in steps_with_idleness(steps, lines)] == ["started", "Its GPUs were idle for 15 min", "ended"]


def test_amounts_are_as_exact_as_a_chart() -> None:
    odd = [replace(SERIES.points[0], memory_bytes=111_470_000), replace(SERIES.points[1], memory_bytes=3_333_333_333)]
    assert view(replace(SERIES, points=tuple(odd))).groups[-1].charts[-1].summary == "mean 1.6 GiB, most 3.1 GiB"
    assert view(replace(SERIES, points=(odd[0],))).groups[-1].charts[-1].summary == "106 MiB throughout"
    assert view(replace(SERIES, points=(replace(odd[0], memory_bytes=GIB),))).groups[-1].charts[-1].summary == "1 GiB throughout"


def test_memory_beyond_what_was_promised_still_fits_in_the_chart() -> None:
    greedy = replace(SERIES, points=(replace(SERIES.points[0], memory_bytes=40 * GIB),))
    assert view(greedy).groups[-1].charts[-1].top == "40 GiB"
