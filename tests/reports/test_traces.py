"""A demand trace is read with every row checked: everything wrong is told at once, with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.domain.policy import DAY_SECONDS
from aiplatform_hub.domain.twin import Trace, TraceSession
from aiplatform_hub.reports import traces
from aiplatform_hub.reports.traces import COLUMNS, MAX_PROBLEMS, read_trace, trace_text
from tests.support.lab_traces import lab_trace

HEADER = ",".join(COLUMNS)
ROW = "ana,vision,0,60,1,3600,0,1"
TWO = (
    TraceSession("ana", "vision", 0, 60, 1, 3600, 0, is_office_hours=True),
    TraceSession("ana", "vision", 1, 0.5, 4, 7200.25, 600, is_office_hours=False),
)
GOOD = f"{HEADER}\n{ROW}\nana,vision,1,0.5,4,7200.25,600,0\n"


@pytest.fixture
def read(tmp_path):
    def of(text, gpus=4, days=28):
        file = tmp_path / "lab.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_trace(file, capacity_gpus=gpus, days=days)

    return of


def said(reading):
    return [str(problem).rpartition("lab.csv:")[2] for problem in reading.problems]


def test_a_trace_has_the_name_of_its_file_and_what_it_says(read):
    assert read(GOOD).trace == Trace("lab", 4, 28 * DAY_SECONDS, TWO)
    assert read(GOOD, gpus=8, days=7).trace == Trace("lab", 8, 7 * DAY_SECONDS, TWO)
    assert read(GOOD).problems == ()


def shuffled(order):
    lines = [line.split(",") for line in GOOD.splitlines()]
    return "\n".join(",".join(line[index] for index in order) for line in lines)


SAME = {
    "byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "CRLF": GOOD.replace("\n", "\r\n"),
    "CR alone": GOOD.replace("\n", "\r"),
    "both, as spreadsheets write it": b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode(),
    "no line break at the end": GOOD.rstrip("\n"),
    "empty lines": GOOD.replace("\n", "\n\n") + "\n,,,,,,,\n",
    "quotes": GOOD.replace("ana", '"ana"').replace("3600", '"3600"'),
    "spaces around": GOOD.replace(",", " , "),
    "other order of columns": shuffled((7, 6, 5, 4, 3, 2, 1, 0)),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_forms_of_the_same_trace_are_read_alike(read, text):
    reading = read(text)
    assert (reading.problems, reading.trace.sessions) == ((), TWO)


def test_sessions_may_stand_in_any_order(read):
    lines = GOOD.splitlines()
    assert set(read("\n".join([lines[0], lines[2], lines[1]])).trace.sessions) == set(TWO)


def row(**changes):
    values = dict(zip(COLUMNS, ROW.split(","), strict=True)) | changes
    return f"{HEADER}\n{','.join(values[name] for name in COLUMNS)}\n"


SECONDS = "must be a number of seconds, 0 or more, such as 3600 or 0.5, not"
WRONG = {
    "empty file": ("", "1: the first line must be the header: user,project,"),
    "only a byte order mark": (b"\xef\xbb\xbf", "1: the first line must be the header"),
    "only a header": (HEADER + "\n", "1: the trace has no sessions"),
    "no header": (ROW + "\n", "1: the first line must be the header: user,project,"),
    "one column more": (GOOD.replace("office_hours", "office_hours,colour"), "1: unknown column colour; known: gpus, idle_tail_seconds"),
    "missing column": (GOOD.replace(",office_hours", ""), "1: the column office_hours is missing"),
    "column twice": (GOOD.replace("office_hours", "office_hours,user"), "1: the column user stands twice"),
    "semicolons": (GOOD.replace(",", ";"), "1: columns must be separated by commas"),
    "tabs": (GOOD.replace(",", "\t"), "1: columns must be separated by commas"),
    "short row": (f"{HEADER}\nana,vision,0\n", "2: has 3 columns; the header has 8"),
    "long row": (f"{HEADER}\n{ROW},1\n", "2: has 9 columns; the header has 8"),
    "no user": (row(user=""), "2: user must be a name of 1 to 255 characters, not ''"),
    "no project": (row(project=""), "2: project must be a name"),
    "long name": (row(user="x" * 256), "2: user must be a name of 1 to 255 characters"),
    "control character in a name": (row(user="a\x07b"), "2: user must be a name of 1 to 255 characters, not 'a\\x07b'"),
    "negative pause": (row(think_seconds="-1"), f"2: think_seconds {SECONDS} -1"),
    "negative work": (row(work_seconds="-0.5"), f"2: work_seconds {SECONDS} -0.5"),
    "not a number": (row(work_seconds="nan"), f"2: work_seconds {SECONDS} nan"),
    "infinite": (row(idle_tail_seconds="inf"), f"2: idle_tail_seconds {SECONDS} inf"),
    "overflow": (row(idle_tail_seconds="1e999"), f"2: idle_tail_seconds {SECONDS} 1e999"),
    "digits with underscores": (row(idle_tail_seconds="1_000"), f"2: idle_tail_seconds {SECONDS} 1_000"),
    "digits of another script": (row(idle_tail_seconds="٣"), f"2: idle_tail_seconds {SECONDS} ٣"),
    "centuries": (row(work_seconds="1" * 10), f"2: work_seconds {SECONDS} 1111111111"),
    "nothing": (row(work_seconds=""), f"2: work_seconds {SECONDS} ''"),
    "decimal comma": (row(work_seconds='"1,5"'), f"2: work_seconds {SECONDS} 1,5"),
    "no GPU": (row(gpus="0"), "2: gpus must be a whole number, 1 or more, not 0"),
    "half a GPU": (row(gpus="0.5"), "2: gpus must be a whole number, 1 or more, not 0.5"),
    "negative GPUs": (row(gpus="-1"), "2: gpus must be a whole number, 1 or more, not -1"),
    "more GPUs than the box": (row(gpus="5"), "2: gpus is 5; the box has 4 (--gpus says how many)"),
    "whole number in digits of another script": (row(gpus="٣"), "2: gpus must be a whole number, 1 or more, not ٣"),
    "negative sequence": (row(sequence="-1"), "2: sequence must be a whole number, 0 or more, not -1"),
    "sequence from one": (row(sequence="1"), "2: ana has no session 0 before this one; each user's count 0, 1, 2, … without gaps"),
    "gap in the sequence": (f"{GOOD}ana,vision,4,0,1,1,0,1\n", "4: ana has no session 2 to 3 before this one"),
    "session twice": (f"{GOOD}ana,vision,1,0,1,1,0,1\n", "4: session 1 of ana stands twice; first on line 3"),
    "office hours": (row(office_hours="yes"), "2: office_hours must be 0 or 1, not yes"),
    "not UTF-8": (GOOD.encode() + b"\xff", "4: is not UTF-8 text; save the file as CSV in UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "1: is not UTF-8 text"),
    "open quote": (f'{GOOD}"ben', "4: not valid CSV: unexpected end of data"),
    "endless cell": (f"{GOOD}{'x' * 200_000}\n", "4: not valid CSV: field larger than field limit"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_one_wrong_thing_is_named_with_its_line(read, text, words):
    (problem,) = said(read(text))
    assert problem.startswith(words)


def test_as_many_gpus_as_the_box_has_may_be_asked_for(read):
    assert read(row(gpus="4")).problems == ()
    assert len(read(row(gpus="4"), gpus=3).problems) == 1


def test_a_misspelt_column_is_unknown_and_missing(read):
    assert said(read(GOOD.replace("think_seconds", "think_second"))) == [
        "1: unknown column think_second; did you mean think_seconds?",
        f"1: the column think_seconds is missing; the header is {HEADER}",
    ]


def test_everything_wrong_is_told_at_once(read):
    text = f"{HEADER}\nana,vision,0,-1,9,nan,0,2\nben,,0,0,1,1,0,1\ncem,vision,1,0,1,1,0,1\ndan,vision\n{ROW.replace('ana', 'eve')}\n"
    assert [problem.partition(":")[0] for problem in said(read(text))] == ["2", "2", "2", "2", "3", "5", "4"]


def test_a_session_that_cannot_be_read_leaves_no_gap(read):
    assert len(said(read(f"{GOOD}ana,vision,2,nan,1,1,0,1\nana,vision,3,0,1,1,0,1\n"))) == 1
    assert len(said(read(f"{GOOD}ana,vision,two,0,1,1,0,1\nana,vision,3,0,1,1,0,1\n"))) == 1


def test_lines_are_counted_where_cells_span_several(read):
    assert said(read(f'{HEADER}\n"a\nb",vision,0,0,1,1,0,1\n{ROW.replace("0,60", "0,-60")}\n')) == [
        "2: user must be a name of 1 to 255 characters, not 'a\\nb'",
        f"4: think_seconds {SECONDS} -60",
    ]


def test_reading_stops_after_very_many_problems(read):
    reading = read(HEADER + "\n" + "x\n" * (MAX_PROBLEMS + 5))
    assert len(reading.problems) == MAX_PROBLEMS + 1
    assert str(reading.problems[-1]).endswith(f"lab.csv: reading stopped after {MAX_PROBLEMS} problems")
    assert len(read(HEADER + "\n" + "x\n" * MAX_PROBLEMS).problems) == MAX_PROBLEMS


def test_a_huge_file_is_refused_unread(read, monkeypatch):
    monkeypatch.setattr(traces, "MAX_BYTES", len(GOOD))
    assert read(GOOD).problems == ()
    assert [str(problem).rpartition(": ")[2] for problem in read(GOOD + "\n").problems] == ["is larger than 0 MiB; take fewer days"]


def test_an_endless_file_is_refused(tmp_path):
    (tmp_path / "zeros.csv").symlink_to("/dev/zero")
    (problem,) = read_trace(tmp_path / "zeros.csv", capacity_gpus=4, days=1).problems
    assert problem.text == "is larger than 32 MiB; take fewer days"


@pytest.mark.parametrize(("name", "words"), [("absent.csv", "No such file"), ("", "Is a directory")])
def test_what_cannot_be_read_is_a_problem_like_any_other(tmp_path, name, words):
    (problem,) = read_trace(tmp_path / name, capacity_gpus=4, days=1).problems
    assert f"cannot be read: {words}" in problem.text


def test_a_written_trace_is_read_as_it_was(read):
    made = lab_trace(1)
    assert read(trace_text(made.sessions)).trace.sessions == made.sessions


names = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text == text.strip())


@given(user=names, project=names, seconds=st.integers(0, 10**8), light=st.booleans())
def test_any_name_survives_writing_and_reading(tmp_path_factory, user, project, seconds, light):
    session = TraceSession(user, project, 0, seconds, 1, seconds, seconds, light)
    file = tmp_path_factory.mktemp("trace") / "one.csv"
    file.write_text(trace_text([session]), encoding="utf-8")
    assert read_trace(file, capacity_gpus=4, days=1).trace.sessions == (session,)
