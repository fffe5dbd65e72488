"""Figures of the twin as JSON, CSV and a table; what nobody asked for has no wait."""

from __future__ import annotations

import csv
import io
import json

import pytest

from aiplatform_hub.domain.policy import HOUR_SECONDS
from aiplatform_hub.domain.twin import TwinResult, UserShare, Wait
from aiplatform_hub.reports.twin_scores import CSV_COLUMNS, TABLE_COLUMNS, scores_csv, scores_json, shares, table_rows

FIGURES = {"useful_fraction", "occupancy_fraction", "light_wait_hours", "heavy_wait_hours", "four_gpu_wait_hours", "cut_work_fraction"}


def waited(user, hours, gpus=1, *, is_light=True):
    return Wait(user, "vision", gpus, is_light, 0, hours * HOUR_SECONDS)


WAITS = (waited("ana", 1), waited("ana", 3), waited("ben", 8, is_light=False))


def result(name="one", useful=0.5, waits=WAITS):
    """Return a result on a box of 100 GPU-hours of which Ana got 50 and Ben 25."""
    got = {"ana": UserShare(50 * HOUR_SECONDS, 30 * HOUR_SECONDS), "ben": UserShare(25 * HOUR_SECONDS, 20 * HOUR_SECONDS)}
    return TwinResult(name, useful, 0.75, 0.1, tuple(waits), got, ())


OTHER = result("two", 0.7, [waited("ana", 5), waited("ben", 2, 4)])


def test_json_has_these_keys_and_no_others():
    told = scores_json([result(), OTHER])
    assert list(told) == ["per_trace", "mean"]
    assert [set(each) for each in told["per_trace"]] == [FIGURES | {"trace"}] * 2
    assert set(told["mean"]) == FIGURES
    assert [each["trace"] for each in told["per_trace"]] == ["one", "two"]
    assert {tuple(each[f"{kind}_wait_hours"]) for each in told["per_trace"] for kind in ("light", "heavy", "four_gpu")} == {("p50", "p95")}


def test_json_has_the_figures_and_their_mean():
    told = scores_json([result(), OTHER])
    one, two = told["per_trace"]
    assert (one["useful_fraction"], one["occupancy_fraction"], one["cut_work_fraction"]) == (0.5, 0.75, 0.1)
    assert one["light_wait_hours"] == {"p50": 2, "p95": pytest.approx(2.9)}
    assert one["heavy_wait_hours"] == {"p50": 8, "p95": 8}
    assert two["four_gpu_wait_hours"] == {"p50": 2, "p95": 2}
    assert told["mean"]["useful_fraction"] == pytest.approx(0.6)
    assert told["mean"]["light_wait_hours"]["p50"] == pytest.approx((2 + 3.5) / 2)


def test_a_wait_of_nobody_is_null_and_the_mean_is_over_the_others():
    told = scores_json([result(), OTHER])
    assert told["per_trace"][0]["four_gpu_wait_hours"] == {"p50": None, "p95": None}
    assert told["mean"]["four_gpu_wait_hours"] == {"p50": 2, "p95": 2}
    assert scores_json([result(waits=())])["mean"]["light_wait_hours"] == {"p50": None, "p95": None}
    json.dumps(told, allow_nan=False)


def lines(results):
    return list(csv.DictReader(io.StringIO(scores_csv(results))))


def test_csv_has_each_trace_with_its_users_and_the_mean():
    rows = lines([result(), OTHER])
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert [(row["trace"], row["user"]) for row in rows] == [
        ("one", ""), ("one", "ana"), ("one", "ben"), ("two", ""), ("two", "ana"), ("two", "ben"), ("mean", ""),
    ]  # fmt: skip
    assert rows[6]["useful_fraction"] == "0.6"


def test_csv_of_a_user_is_their_part_of_the_box_and_their_own_waits():
    whole, ana, ben = lines([result()])[:3]
    assert (whole["share_of_served"], whole["occupancy_fraction"], whole["cut_work_fraction"]) == ("1.0", "0.75", "0.1")
    assert (float(ana["share_of_served"]), float(ana["occupancy_fraction"]), float(ana["useful_fraction"])) == pytest.approx((2 / 3, 0.5, 0.3), abs=1e-6)
    assert (ana["light_wait_p50_hours"], ana["heavy_wait_p50_hours"], ana["cut_work_fraction"]) == ("2.0", "", "")
    assert (ben["light_wait_p50_hours"], ben["heavy_wait_p50_hours"]) == ("", "8.0")


def test_shares_add_up_to_one_and_are_zero_where_nothing_was_served():
    assert sum(shares(result()).values()) == pytest.approx(1)
    nothing = TwinResult("none", 0, 0, 0, (), {"ana": UserShare(0, 0)}, ())
    assert shares(nothing) == {"ana": 0}
    assert lines([nothing])[1]["useful_fraction"] == "0.0"


def test_the_table_has_a_mean_only_of_several():
    assert [row["trace"] for row in table_rows([result()])] == ["one"]
    rows = table_rows([result(), OTHER])
    assert [row["trace"] for row in rows] == ["one", "two", "mean"]
    assert {key for row in rows for key in row} == set(TABLE_COLUMNS)
    assert rows[0] == {
        "trace": "one", "useful": "0.500", "occupancy": "0.750", "light_p50": "2.0", "light_p95": "2.9",
        "heavy_p50": "8.0", "heavy_p95": "8.0", "four_gpu_p50": None, "four_gpu_p95": None, "cut": "0.100",
    }  # fmt: skip
