"""Numbers stay with their units on narrow screens, and nowhere else than in HTML."""

from __future__ import annotations

import re

import pytest
from markupsafe import Markup

from aiplatform_hub.web.no_breaks import NO_BREAK, keep_together
from aiplatform_hub.web.rendering import environment
from tests.web.test_pages import PAGES

_LOOSE = re.compile(r"\d (?:GPUs?|min|h|GiB|cores?|days?|EUR|UTC|%|×)(?!\w)")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Waiting for 2 h100 GPUs: 1 is free.", "Waiting for 2_h100_GPUs: 1 is free."),
        ("2 × NVIDIA H100, 16 GiB, 1 core", "2_×_NVIDIA H100, 16_GiB, 1_core"),
        ("About 2 h 20 min; 80 % between 10 min and 3 days.", "About 2_h_20_min; 80_% between 10_min and 3_days."),
        ("12 Nov 2026 14:04 UTC, 1.50 EUR per hour", "12 Nov 2026 14:04_UTC, 1.50_EUR per hour"),
        ("about 35 min (10 min – 1 h 50 min)", "about 35_min (10_min_–_1_h_50_min)"),
        ("train-1 holds 1, and 3 hold it", "train-1 holds 1, and 3 hold it"),
        ("", ""),
    ],
)
def test_number_and_unit_stay_together(text: str, kept: str) -> None:
    assert keep_together(text) == kept.replace("_", NO_BREAK)


def test_what_is_no_text_or_html_already_stays_as_it_is() -> None:
    assert keep_together(2) == 2
    assert keep_together(Markup("took 2 s")) == "took 2 s"


@pytest.mark.parametrize("name", PAGES)
def test_no_page_lets_a_number_lose_its_unit(name: str) -> None:
    assert _LOOSE.findall(re.sub(r"<pre.*?</pre>|<[^>]*>", " ", PAGES[name](), flags=re.DOTALL)) == []


def test_logs_and_fields_keep_what_was_written() -> None:
    template = environment().from_string("{{ text }}|{{ text | e }}")
    assert template.render(text="ran 2 h & more") == f"ran 2{NO_BREAK}h &amp; more|ran 2 h &amp; more"
    for page, part in (("session.html", "page.log | e"), ("aiplatform_choices.html", "form.server_name | e"), ("_keep.html", "keep.name | e")):
        assert environment().loader is not None
        assert part in environment().loader.get_source(environment(), page)[0]
