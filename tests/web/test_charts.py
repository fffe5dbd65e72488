"""Charts say what they show, and show nothing that is not known."""

from __future__ import annotations

import re

import pytest

from aiplatform_hub.web.rendering import environment
from aiplatform_hub.web.view_models.charts import spark_label
from tests.web.samples import HOSTILE

NONE = (None,) * 28


def spark(points, label: str = "GPU use") -> str:
    return environment().from_string('{% import "charts.html" as charts %}{{ charts.sparkline(points, label) }}').render(points=points, label=label)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ((*NONE, 0, 60), "60 % now, 30 % on average, 60 % at most; not known for 56 min"),
        ((*NONE, 40, None), "not known now, 40 % on average, 40 % at most"),
        ((10,) * 30, "10 % now, 10 % on average, 10 % at most"),
        ((*NONE, None, None), "not known"),
    ],
)
def test_small_chart_in_words(points, words: str) -> None:
    assert spark_label(points) == f"Use of its GPUs in the last hour: {words}"


def test_small_chart_draws_a_bar_for_what_is_known_only() -> None:
    html = spark((*NONE, 0, 60), HOSTILE)
    assert re.findall(r'<rect class="ap-spark__bar" x="(\d+)" width="1" height="(\d+)"', html) == [("28", "2"), ("29", "60")]
    assert 'role="img" aria-label="&lt;script&gt;' in html
    assert "style=" not in html
