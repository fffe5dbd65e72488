"""The bar of used, idle and unknown GPU time."""

from __future__ import annotations

from decimal import Decimal

import pytest

from aiplatform_hub.operations.cost_reporter import ReportRow
from aiplatform_hub.web.view_models.activity import activity_bar


def row(used: int, idle: int, unknown: int) -> ReportRow:
    parts = [Decimal(hours * 3600) for hours in (used, idle, unknown)]
    return ReportRow({}, sum(parts, Decimal(0)), Decimal(0), Decimal(0), 1, None, None, *parts)


def test_parts_stand_side_by_side_and_fill_the_bar() -> None:
    bar = activity_bar((row(3, 1, 0), row(2, 1, 1)))
    assert bar is not None
    assert [(part.kind, part.x, part.width, part.text) for part in bar.parts] == [
        ("used", "0.000", "62.500", "5.00 GPU-hours, 62 %"),
        ("idle", "62.500", "25.000", "2.00 GPU-hours, 25 %"),
        ("unknown", "87.500", "12.500", "1.00 GPU-hours, 12 %"),
    ]
    assert bar.is_known


def test_without_gpu_time_there_is_no_bar() -> None:
    assert activity_bar(()) is None
    assert activity_bar((row(0, 0, 0),)) is None


@pytest.mark.parametrize(("parts", "words"), [((1, 999, 0), ["less than 1 %", "more than 99 %", "0 %"]), ((0, 0, 5), ["0 %", "0 %", "100 %"])])
def test_only_nothing_is_0_percent_and_only_all_is_100(parts: tuple[int, int, int], words: list[str]) -> None:
    bar = activity_bar((row(*parts),))
    assert bar is not None
    assert [part.text.split(", ")[1] for part in bar.parts] == words
    assert bar.is_known == (parts[2] == 0)
