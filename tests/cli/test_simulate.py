"""`aiplatform simulate` scores traces, writes what it is asked for, and says all that is wrong at once."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from aiplatform_hub.cli.main import main
from aiplatform_hub.domain.policy import FAIR_SHARE_ONLY, FIFO, SHIPPED, ClassReservation
from aiplatform_hub.domain.twin import mean_scores, simulate
from aiplatform_hub.reports import twin_plot
from aiplatform_hub.reports.traces import trace_text
from aiplatform_hub.reports.twin_scores import scores_json
from tests.support.lab_traces import lab_trace

DAYS = 4


@pytest.fixture
def labs(tmp_path):
    """Two traces as files."""
    files = []
    for seed in (1, 2):
        file = tmp_path / f"lab-{seed}.csv"
        file.write_text(trace_text(lab_trace(seed).sessions))
        files.append(file)
    return files


def run(*arguments):
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def told(*arguments):
    done = run("--json", "--days", DAYS, *arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def expected(seed, policy, gpus=4):
    return simulate(replace(lab_trace(seed, days=DAYS), capacity_gpus=gpus), policy)


def test_json_is_what_the_twin_gives_for_the_shipped_policy(labs):
    assert told(*labs) == scores_json([expected(1, SHIPPED), expected(2, SHIPPED)])


@pytest.mark.parametrize(("preset", "policy"), [("fifo", FIFO), ("fair-share-only", FAIR_SHARE_ONLY), ("shipped", SHIPPED)])
def test_presets_are_the_policies_of_that_name(labs, preset, policy):
    assert told(labs[0], "--preset", preset) == scores_json([expected(1, policy)])


def test_a_policy_file_is_laid_over_the_preset(labs, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("idle_after: 2h\nis_releasing: true\n")
    assert told(labs[0], "--policy", file) == scores_json([expected(1, replace(SHIPPED, idle_after_seconds=7200))])
    over_fifo = replace(FIFO, idle_after_seconds=7200, is_releasing=True)
    assert told(labs[0], "--policy", file, "--preset", "fifo") == scores_json([expected(1, over_fifo)])


def test_gpus_are_the_size_of_the_box(labs):
    assert told(labs[0], "--gpus", 6) == scores_json([expected(1, SHIPPED, gpus=6)])


def test_a_month_on_four_gpus_is_the_default(labs):
    done = run(labs[0], "--json", "--preset", "fifo")
    assert json.loads(done.stdout) == scores_json([simulate(lab_trace(1, days=28), FIFO)])


def test_reservations_are_reckoned_from_the_start_of_the_traces(labs, tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("reservations:\n  - {project: course, gpus: 3, gpu_type: h100, start: 2026-03-03T09:00:00Z, end: 2026-03-04T09:00:00Z}\n")
    window = ClassReservation("course", 3, None, (24 + 10) * 3600, (48 + 10) * 3600)
    assert told(labs[0], "--policy", file, "--starts-at", "2026-03-02T00:00:00+01:00") == scores_json([expected(1, replace(SHIPPED, reservations=(window,)))])
    refused = run(labs[0], "--policy", file)
    assert (refused.exit_code, "Say with --starts-at when the traces start" in refused.stderr) == (2, True)


@pytest.mark.parametrize("text", ["2026-03-02", "2026-03-02T00:00:00", "monday"])
def test_a_start_without_a_time_zone_is_refused(labs, text):
    refused = run(labs[0], "--starts-at", text)
    assert (refused.exit_code, "write it with its time zone" in refused.stderr) == (2, True)


def test_a_person_reads_a_table_and_progress_apart_from_it(labs):
    done = run(*labs, "--days", DAYS)
    heading, *rows = done.stdout.splitlines()
    assert re.split(r"\s{2,}", heading) == [
        "TRACE",
        "USEFUL",
        "OCCUPIED",
        "LIGHT P50",
        "LIGHT P95",
        "HEAVY P50",
        "HEAVY P95",
        "4-GPU P50",
        "4-GPU P95",
        "WORK CUT",
    ]
    assert [row.split()[0] for row in rows] == ["lab-1", "lab-2", "mean"]
    assert rows[2].split()[1] == f"{mean_scores([expected(1, SHIPPED).scores, expected(2, SHIPPED).scores]).useful_fraction:.3f}"
    assert len({len(row) for row in (heading, *rows)}) == 1
    assert "lab-2: 1320 sessions (2 of 2)" in done.stderr


def test_files_are_written_beside_what_is_printed(labs, tmp_path):
    figures, drawn = tmp_path / "figures.csv", tmp_path / "figures.svg"
    assert set(told(labs[0], "--csv", figures, "--plot", drawn)) == {"per_trace", "mean"}
    rows = list(csv.DictReader(figures.open()))
    assert [row["user"] for row in rows] == ["", *(f"user{number:02}" for number in range(15)), ""]
    assert drawn.read_text().startswith("<?xml")


def test_everything_wrong_with_any_file_is_said_at_once(labs, tmp_path):
    bad, policy = tmp_path / "bad.csv", tmp_path / "policy.yaml"
    bad.write_text("\n".join([*trace_text(lab_trace(1).sessions).splitlines()[:2], "ana,vision,0,-1,9,nan,0,1"]))
    policy.write_text("half_lif: 3d\nidle_after: 5min\n")
    done = run(labs[0], bad, tmp_path / "absent.csv", "--policy", policy)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "The input has 6 problems:" in done.stderr
    for words in ("absent.csv: cannot be read", "bad.csv:3: think_seconds", "bad.csv:3: gpus is 9", "bad.csv:3: work_seconds", "policy.yaml:1: unknown key", "policy.yaml:2: idle_after"):  # fmt: skip
        assert words in done.stderr


def test_problems_are_json_for_programs(labs, tmp_path):
    (tmp_path / "policy.yaml").write_text("half_lif: 3d\nidle_after: 5min\n")
    done = run(labs[0], "--policy", tmp_path / "policy.yaml", "--json")
    said = json.loads(done.stderr)
    assert (done.exit_code, said["code"], len(said["reasons"])) == (2, "configuration_error", 2)


def test_no_trace_is_wrong_use():
    assert run().exit_code == 2


@pytest.mark.parametrize("option", [("--gpus", 0), ("--days", 0), ("--gpus", "x"), ("--preset", "lifo")])
def test_numbers_out_of_range_are_wrong_use(labs, option):
    assert run(labs[0], *option).exit_code == 2


UNWRITABLE = {
    "no folder": ("--csv", "absent/figures.csv", "There is no folder"),
    "a folder": ("--csv", ".", "is a folder. Name a file."),
    "no folder for a plot": ("--plot", "absent/figures.svg", "There is no folder"),
    "another ending": ("--plot", "figures.pdf", "A plot is a .png or .svg file"),
}


@pytest.mark.parametrize(("option", "name", "words"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_could_not_be_written_is_refused_before_the_work(labs, tmp_path, option, name, words):
    done = run(labs[0], option, tmp_path / name)
    assert (done.exit_code, words in done.stderr, "sessions" in done.stderr) == (2, True, False)


def test_a_full_disk_is_said_in_one_line(labs):
    done = run(labs[0], "--days", 1, "--csv", "/dev/full")
    assert (done.exit_code, "Cannot write /dev/full: No space left on device." in done.stderr) == (2, True)


def test_without_matplotlib_all_but_the_plot_works(labs, tmp_path, monkeypatch):
    monkeypatch.setattr(twin_plot, "find_spec", lambda _name: None)
    done = run(labs[0], "--plot", tmp_path / "figures.svg")
    assert (done.exit_code, "-m pip install 'matplotlib" in done.stderr, "sessions" in done.stderr) == (2, True, False)
    assert run(labs[0], "--days", 1, "--csv", tmp_path / "figures.csv").exit_code == 0
