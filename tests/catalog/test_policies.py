"""A policy file is read strictly: everything wrong is told at once, and what it leaves out stays as it was."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiplatform_hub.catalog.lengths import format_length, parse_length
from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.catalog.policies import PolicyModel, field_of, load_policy, read_policy
from aiplatform_hub.domain.policy import DAY_SECONDS, FAIR_SHARE_ONLY, FIFO, HOUR_SECONDS, SHIPPED, ClassReservation, Policy
from aiplatform_hub.errors import ConfigurationError


@pytest.fixture
def policy_of(tmp_path):
    def write(text, base=SHIPPED, catalog=None):
        file = tmp_path / "policy.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_policy(file, base, catalog)

    return write


def problems(policy_of, text, **options):
    with pytest.raises(ConfigurationError) as caught:
        policy_of(text, **options)
    return [reason.message.rpartition("policy.yaml:")[2] for reason in caught.value.reasons]


def test_every_number_of_the_policy_has_a_key():
    assert sorted(map(field_of, PolicyModel.model_fields)) == sorted(field.name for field in fields(Policy))


def test_what_a_file_leaves_out_stays_as_it_was(policy_of):
    assert policy_of("") == SHIPPED
    assert policy_of("# nothing\n", FIFO) == FIFO
    assert policy_of("idle_after: 15min\n") == replace(SHIPPED, idle_after_seconds=900)
    assert policy_of("is_fair: false\n", FAIR_SHARE_ONLY) == replace(FAIR_SHARE_ONLY, is_fair=False)


def test_defaults_of_the_keys_are_those_shipped():
    assert PolicyModel().model_validate({}).laid_over(SHIPPED) == SHIPPED
    for key, field in PolicyModel.model_fields.items():
        assert field.default == getattr(SHIPPED, field_of(key)) or not field.default, key


def test_every_kind_of_value_is_read(policy_of):
    text = """\
half_life: 1d 12h
session_cap: never
reserve_after: 90min
is_shortest_first: no
level_ratio: 2
reserve_quantile: 0.25
gpu_type_weights: {h100: 3, l4: 0.5}
project_shares: {vision: 2}
project_limits: {vision: 0}
project_inactive_after: {vision: never}
tier_inactive_after: {student: 10min, staff: 1d}
environment_template_inactive_after: {rstudio: 8h}
reservations:
  - {project: course, gpus: 2, gpu_type: h100, start: 2026-03-02T09:00:00+01:00, end: 2026-03-02T09:00:00Z}
  - {project: course, gpus: 1, start: 2026-03-02T09:00:00Z, end: 2026-03-02T10:00:00Z}
"""
    start, end = datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp(), datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()
    assert policy_of(text) == replace(
        SHIPPED,
        half_life_seconds=1.5 * DAY_SECONDS,
        session_cap_seconds=None,
        reserve_after_seconds=1.5 * HOUR_SECONDS,
        is_shortest_first=False,
        level_ratio=2,
        reserve_quantile=0.25,
        gpu_type_weights={"h100": 3, "l4": 0.5},
        project_shares={"vision": 2},
        project_limits={"vision": 0},
        project_inactive_after_seconds={"vision": None},
        tier_inactive_after_seconds={"student": 600, "staff": DAY_SECONDS},
        environment_template_inactive_after_seconds={"rstudio": 8 * HOUR_SECONDS},
        reservations=(ClassReservation("course", 2, "h100", start, end), ClassReservation("course", 1, None, end, end + HOUR_SECONDS)),
    )


WRONG = {
    "unknown key": ("half_lif: 3d", "unknown key half_lif; did you mean half_life?"),
    "a field's name in place of the key": ("half_life_seconds: 3d", "unknown key half_life_seconds; did you mean half_life?"),
    "number without a unit": ("half_life: 3", "half_life: must be a length of time with its unit, for example 1h"),
    "sexagesimal": ("half_life: 1:30", "half_life: must be a length of time with its unit"),
    "text without a unit": ("half_life: '3'", "half_life: '3' is not a length of time; write for example 3d, 6h, 10min or 1h 30min"),
    "unknown unit": ("half_life: 3w", "half_life: '3w' is not a length of time"),
    "minutes written m": ("half_life: 30m", "half_life: '30m' is not a length of time"),
    "units in a wrong order": ("half_life: 30min 1h", "half_life: '30min 1h' is not a length of time"),
    "negative length": ("half_life: -3d", "half_life: '-3d' is not a length of time"),
    "digits of another script": ("half_life: ٣d", "half_life: '٣d' is not a length of time"),
    "nothing": ("half_life:", "half_life: must be a length of time with its unit"),
    "nothing where never is possible": ("session_cap: null", "session_cap: must be a length of time with its unit, for example 6h, or never"),
    "never where it is not": ("half_life: never", "half_life: 'never' is not a length of time"),
    "half-life of nothing": ("half_life: 0s", "half_life: is 0s; it must be 1min or more"),
    "endless": ("half_life: 9999d", "half_life: is 9999d; it must be at most 3650d"),
    "cap below six hours": ("session_cap: 5h 59min", "session_cap: is 5h 59min; it must be 6h or more"),
    "ceiling below six hours": ("session_ceiling: 5h", "session_ceiling: is 5h; it must be 6h or more"),
    "idle release before ten minutes": ("idle_after: 9min 59s", "idle_after: is 9min 59s; it must be 10min or more"),
    "late warning": ("idle_warning: 4min", "idle_warning: is 4min; it must be 5min or more"),
    "warning longer than the idle time": ("idle_warning: 11min", "idle_warning: idle_warning (11min) is longer than idle_after (10min)"),
    "cap above the ceiling": ("session_cap: 25h", "session_cap: session_cap (1d 1h) is longer than session_ceiling (1d)"),
    "ceiling below the cap": ("session_ceiling: 6h\nsession_cap: 7h", "session_cap: session_cap (7h) is longer than session_ceiling (6h)"),
    "guaranteed longer than the cap": ("guaranteed: 7h", "guaranteed: guaranteed (7h) is longer than session_cap (6h)"),
    "number for a truth value": ("is_fair: 1", "is_fair must be true or false"),
    "text for a truth value": ('is_fair: "yes"', "is_fair must be true or false"),
    "fraction above one": ("reserve_quantile: 1.5", "reserve_quantile: must be a number from 0 to 1, not 1.5"),
    "text for a number": ('reserve_quantile: "0.5"', "reserve_quantile: must be a number from 0 to 1, not 0.5"),
    "truth value for a number": ("reserve_quantile: true", "reserve_quantile: must be a number from 0 to 1, not True"),
    "not a number": ("reserve_quantile: .nan", "reserve_quantile: must be a number from 0 to 1, not nan"),
    "infinite": ("level_ratio: .inf", "level_ratio: must be a number from 1 to 1000, not inf"),
    "weight of nothing": ("gpu_type_weights: {h100: 0}", "gpu_type_weights.h100: must be a number from 0.001 to 1000, not 0"),
    "negative limit": ("project_limits: {a: -1}", "project_limits.a: must be a whole number from 0 to 10000, not -1"),
    "half a GPU": ("project_limits: {a: 1.5}", "project_limits.a: must be a whole number from 0 to 10000, not 1.5"),
    "inactivity as a bare number": ("tier_inactive_after: {a: 0}", "tier_inactive_after.a: must be a length of time with its unit, for example 1h, or never"),
    "negative inactivity": ("tier_inactive_after: {a: -1h}", "tier_inactive_after.a: '-1h' is not a length of time"),
    "inactivity that the hub cannot see": ("project_inactive_after: {a: 9min}", "project_inactive_after.a: is 9min; it must be 10min or more, or never"),
    "inactivity of no name": ("project_inactive_after: 1h", "project_inactive_after must be a mapping"),
    "inactivity shorter than its warning": (
        "environment_template_inactive_after: {a: 10min}\nidle_after: 1h\nidle_warning: 30min",
        "environment_template_inactive_after.a (10min) is shorter than idle_warning (30min), which is its end",
    ),
    "list for a mapping": ("project_limits: [a]", "project_limits must be a mapping"),
    "mapping for a list": ("reservations: {a: 1}", "reservations must be a list"),
    "reservation without a project": (
        "reservations: [{gpus: 1, start: 2026-03-02T09:00:00Z, end: 2026-03-02T10:00:00Z}]",
        "reservations.0.project is missing",
    ),
    "reservation of no GPU": (
        "reservations: [{project: a, gpus: 0, start: 2026-03-02T09:00:00Z, end: 2026-03-02T10:00:00Z}]",
        "reservations.0.gpus: must be a whole number from 1 to 10000, not 0",
    ),
    "reservation without a time zone": (
        "reservations: [{project: a, gpus: 1, start: 2026-03-02T09:00:00, end: 2026-03-02T10:00:00Z}]",
        "reservations.0.start: write an instant with its time zone",
    ),
    "reservation that ends as it begins": (
        "reservations: [{project: a, gpus: 1, start: 2026-03-02T09:00:00Z, end: 2026-03-02T09:00:00Z}]",
        "reservations.0.end: the window ends at 2026-03-02T09:00:00Z, not after its start",
    ),
    "reservation with an unknown key": (
        "reservations: [{project: a, gpu: 1, gpus: 1, start: 2026-03-02T09:00:00Z, end: 2026-03-02T10:00:00Z}]",
        "unknown key gpu; did you mean gpus?",
    ),
    "not a mapping": ("- half_life", "the file must be a mapping"),
    "not YAML": ("half_life: [3d", "not valid YAML"),
    "twice": ("half_life: 3d\nhalf_life: 4d", "half_life stands twice; first on line 1"),
    "alias": ("half_life: &x 3d\nreserve_after: *x", "aliases (*name) are not supported"),
    "not UTF-8": (b"half_life: \xff", "is not UTF-8 text"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_one_wrong_thing_is_named_with_what_is_right(policy_of, text, words):
    (problem,) = problems(policy_of, text)
    number, _, said = problem.partition(": ")
    assert int(number) >= 1
    assert words in said


def test_everything_wrong_is_told_at_once_with_its_line(policy_of):
    text = "half_lif: 3d\nis_fair: 1\n\nsession_cap: 5h\nproject_limits:\n  a: 1\n  b: -1\nidle_warning: 20min\nreservations:\n  - 5\n"
    assert [problem.partition(":")[0] for problem in problems(policy_of, text)] == ["1", "2", "4", "7", "8", "10"]


def test_no_second_complaint_about_a_number_that_is_wrong_itself(policy_of):
    assert len(problems(policy_of, "idle_after: 5min\nidle_warning: 20min\n")) == 1


def test_a_missing_file_is_a_problem_like_any_other(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_policy(tmp_path / "absent.yaml")


def test_projects_and_gpu_types_are_those_of_the_catalogue(policy_of):
    catalog = load_catalog()
    text = "gpu_type_weights: {h10: 2, h100: 2}\nproject_shares: {personl: 2}\nproject_limits:\n  personal: 2\n  x: 1\n"
    assert problems(policy_of, text, catalog=catalog) == [
        "1: gpu_type_weights: unknown GPU type h10; did you mean h100?",
        "2: project_shares: unknown project personl; did you mean personal?",
        f"5: project_limits: unknown project x; known: {', '.join(sorted(catalog.projects))}",
    ]
    window = "start: 2026-03-02T09:00:00Z, end: 2026-03-02T10:00:00Z"
    (problem,) = problems(policy_of, f"reservations:\n  - {{project: personal, gpus: 1, gpu_type: h10, {window}}}\n", catalog=catalog)
    assert problem == "2: reservations: unknown GPU type h10; did you mean h100?"
    assert policy_of("project_shares: {personal: 2}\n", catalog=catalog).project_shares == {"personal": 2}


def test_names_with_a_limit_of_inactivity_are_those_of_the_catalogue(policy_of):
    catalog = load_catalog()
    text = "project_inactive_after: {personl: 1h}\ntier_inactive_after:\n  defalt: never\n  default: 2h\nenvironment_template_inactive_after: {jupyterlb: 5}\n"
    assert problems(policy_of, text, catalog=catalog) == [
        "1: project_inactive_after: unknown project personl; did you mean personal?",
        "3: tier_inactive_after: unknown tier defalt; did you mean default?",
        "5: environment_template_inactive_after.jupyterlb: must be a length of time with its unit, for example 1h, or never",
        "5: environment_template_inactive_after: unknown environment template jupyterlb; did you mean jupyterlab?",
    ]


def test_reading_gives_all_problems_without_raising(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text("half_life: 3\nis_fair: 2\n")
    assert {problem.line for problem in read_policy(file).problems} == {1, 2}


LENGTHS = {"3d": 259200, "6h": 21600, "10min": 600, "30s": 30, "1h 30min": 5400, "1h30min": 5400, "1.5h": 5400, " 2 h ": 7200, "1d 1h 1min 1s": 90061}


@pytest.mark.parametrize(("text", "seconds"), LENGTHS.items())
def test_a_length_is_a_number_with_its_unit(text, seconds):
    assert parse_length(text) == seconds


@given(st.integers(0, 10**8))
def test_a_length_is_read_as_it_was_written(seconds):
    assert parse_length(format_length(seconds)) == seconds
