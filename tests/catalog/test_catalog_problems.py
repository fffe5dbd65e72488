"""Everything wrong with the catalogue is told at once: file, line, what, and the nearest right word."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.errors import CatalogError

TEMPLATE = """\
lab:
  display_name: Lab
  description: A lab.
  gpus: {min: 0, max: 4, default: 1}
  memory_gib: {min: 1, max: 8, default: 4}
  cpu_cores: {min: 1, max: 4, default: 1}
  command: [jupyterhub-singleuser]
"""

TIER = """\
extra:
  display_name: Extra
  priority: 3
  limits:
    - dimension: gpus
      amount: 2
"""

PROJECT = """\
bio:
  display_name: Biology
  cost_centre: personal
"""

CARD = """\
"2027-01":
  effective_from: 2027-01-01T00:00:00Z
  currency: EUR
  cpu_only_hour: "0.05"
  gpu_hour:
    "*": "1.00"
"""


POOL = """\
spot:
  display_name: Spot
  gpu_type: a100
  gpus_per_node: 4
  memory_gib: 340
  cpu_cores: 46
  max_nodes: 3
  minutes_to_start: 6
  node_selector: {example.org/pool: spot}
"""


def template(old="", new=""):
    assert old in TEMPLATE
    return "environment_templates.yaml", TEMPLATE.replace(old, new) if old else TEMPLATE + new


def tier(old="", new=""):
    assert old in TIER
    return "tiers.yaml", TIER.replace(old, new) if old else TIER + new


def project(old="", new=""):
    assert old in PROJECT
    return "projects.yaml", PROJECT.replace(old, new) if old else PROJECT + new


OFF_PEAK = """  off_peak:
    time_zone: {zone}
    discount_percent: "30"
    windows:
      - weekdays: [{day}]
        start: "20:00"
        end: "{end}"
"""


def card(old="", new=""):
    assert old in CARD
    return "rates.yaml", CARD.replace(old, new) if old else CARD + new


def pool(old="", new=""):
    assert old in POOL
    return "node_pools.yaml", POOL.replace(old, new) if old else POOL + new


def gpu_type(line):
    return "gpu_types.yaml", f"slice:\n  display_name: Slice\n  {line}\n"


def problems(folder: Path) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        load_catalog([folder])
    return [problem.removeprefix(f"{folder}/") for problem in caught.value.problems]


CASES = {
    # keys and types
    "unknown key": (template(new="  gpu_typ: [h100]\n"), 8, "lab: unknown key gpu_typ; did you mean gpu_types?"),
    "unknown key that is near nothing": (template(new="  zzz: 1\n"), 8, "lab: unknown key zzz; known: allowed_groups, command, "),
    "unknown nested key": (template("default: 1}\n  memory", "defualt: 1, default: 1}\n  memory"), 4, "lab: unknown key defualt; did you mean default?"),
    "missing key": (template("  description: A lab.\n"), 1, "lab: description is missing"),
    "missing nested key": (template("min: 0, "), 4, "lab: gpus.min is missing"),
    "number as a text": (template("max: 4, default: 1}\n  memory", 'max: "4", default: 1}\n  memory'), 4, "lab: gpus.max must be a whole number"),
    "fraction for a count": (template("max: 8", "max: 8.0"), 5, "lab: memory_gib.max must be a whole number"),
    "truth value for a count": (template("min: 1, max: 8", "min: true, max: 8"), 5, "lab: memory_gib.min must be a whole number"),
    "null for a count": (template("min: 1, max: 8", "min: null, max: 8"), 5, "lab: memory_gib.min must be a whole number"),
    "truth value for a text": (template("Lab\n", "on\n"), 2, "lab: display_name must be a text; put it in quotes"),
    "number for a text": (template("Lab\n", "5\n"), 2, "lab: display_name must be a text; put it in quotes"),
    "text for a list": (template("[jupyterhub-singleuser]", "jupyterhub-singleuser"), 7, "lab: command must be a list"),
    "empty list": (template("[jupyterhub-singleuser]", "[]"), 7, "lab: command must not be empty"),
    "wrong item of a list": (template("[jupyterhub-singleuser]", "\n    - a\n    - 5"), 9, "lab: command.1 must be a text"),
    "empty text": (template("Lab\n", '""\n'), 2, "lab: display_name must not be empty"),
    "control character": (template("Lab\n", '"La\\u0007b"\n'), 2, "lab: display_name: must not contain line breaks or control characters"),
    "text too long": (template("Lab\n", "x" * 256 + "\n"), 2, "lab: display_name: string should have at most 255 characters"),
    "entry is not a mapping": (("tiers.yaml", "\nextra: 5\n"), 2, "extra: the entry must be a mapping"),
    "entry is a list": (("tiers.yaml", "extra: [1]\n"), 1, "extra: the entry must be a mapping"),
    "environment value is a number": (template(new="  environment:\n    A: 1\n"), 9, "lab: environment.A must be a text"),
    # ranges
    "default above max": (
        template("max: 4, default: 1}\n  memory", "max: 4, default: 5}\n  memory"),
        4,
        "lab: gpus.default: default is 5; it must be from 0 to 4",
    ),
    "default below min": (
        template("{min: 1, max: 8, default: 4}", "{min: 5, max: 8, default: 4}"),
        5,
        "lab: memory_gib.default: default is 4; it must be from 5 to 8",
    ),
    "max below min": (template("{min: 1, max: 8, default: 4}", "\n    min: 9\n    max: 8\n    default: 9"), 7, "lab: memory_gib.max: max is 8 but min is 9"),
    "negative": (template("min: 0, max", "min: -1, max"), 4, "lab: gpus.min: input should be greater than or equal to 0"),
    "too many GPUs": (
        template("max: 4, default: 1}\n  memory", "max: 65, default: 1}\n  memory"),
        4,
        "lab: gpus: max is 65; an environment has at most 64 GPUs",
    ),
    "no memory": (template("{min: 1, max: 8", "{min: 0, max: 8"), 5, "lab: memory_gib: min is 0; it must be at least 1"),
    "huge number": (template("max: 8", "max: " + "9" * 5000), 5, "the value 9999"),
    # paths
    "default_url without slash": (template(new="  default_url: lab\n"), 8, "lab: default_url must begin with a slash"),
    "image with a slash": (template(new="  image: ../x\n"), 8, "lab: image must be the name of a folder under images/"),
    "program outside": (template(new="  requires:\n    - bin/a\n    - /bin/sh\n"), 10, "lab: requires.1: must be a path inside the built environment"),
    "program above": (template(new="  requires: [../bin/sh]\n"), 8, "lab: requires.0: must be a path inside the built environment"),
    # clusters
    "image reference with capitals": (template(new="  container_image: quay.io/Lab/x\n"), 8, "lab: container_image: quay.io/Lab/x is no image"),
    "image reference with a space": (template(new='  container_image: "quay.io/lab/x "\n'), 8, "lab: container_image: quay.io/lab/x  is no image"),
    "image reference with a line break": (template(new='  container_image: "quay.io/lab/x\\n"\n'), 8, "lab: container_image: 'quay.io/lab/x\\n' is no image"),
    "image reference with an address": (template(new="  container_image: https://quay.io/x\n"), 8, "lab: container_image: https://quay.io/x is no image"),
    "image reference with a short digest": (template(new="  container_image: x@sha256:12ab\n"), 8, "lab: container_image: x@sha256:12ab is no image"),
    "image reference that is empty": (template(new='  container_image: ""\n'), 8, "lab: container_image: '' is no image"),
    "no shared memory": (template(new="  shared_memory_gib: 0\n"), 8, "lab: shared_memory_gib: input should be greater than or equal to 1"),
    "more shared memory than memory": (template(new="  shared_memory_gib: 9\n"), 8, "lab: shared_memory_gib: is 9, more than the memory"),
    "resource without a domain": (gpu_type("resource: gpu"), 3, "slice: resource: gpu is no resource; write it with its domain"),
    "resource with a brace": (gpu_type('resource: "nvidia.com/{gpu}"'), 3, "slice: resource: nvidia.com/{gpu} is no resource"),
    "label with a space": (gpu_type("product_label: nvidia.com/gpu product"), 3, "slice: product_label: nvidia.com/gpu product is no node label"),
    "pool of an unknown GPU type": (pool("a100", "a100x"), 3, "spot: unknown GPU type a100x; did you mean a100?"),
    "key of a pool": (pool("max_nodes", "max_node"), 7, "spot: unknown key max_node; did you mean max_nodes?"),
    "pool without GPUs": (pool("gpus_per_node: 4", "gpus_per_node: 0"), 4, "spot: gpus_per_node: input should be greater than or equal to 1"),
    "pool without labels": (pool("{example.org/pool: spot}", "{}"), 9, "spot: node_selector must not be empty"),
    "wrong label of a pool": (pool("example.org/pool", '"a b"'), 9, "spot: node_selector.a b.[key]: a b is no node label"),
    "wrong value of a label": (pool("pool: spot}", 'pool: "a b"}'), 9, "spot: node_selector.example.org/pool: a b is no label value"),
    "label value that is a number": (pool("pool: spot}", "pool: 5}"), 9, "spot: node_selector.example.org/pool must be a text"),
    "pools that share their nodes": (pool(new=POOL.replace("spot:", "other:", 1)), 18, "other: spot has the same labels"),
    # names
    "name with capitals": (("environment_templates.yaml", TEMPLATE.replace("lab:", "Lab:")), 1, "the name Lab must be 1 to 64 lower-case letters"),
    "name with a space": (("tiers.yaml", TIER.replace("extra:", "ex tra:")), 1, "the name ex tra must be 1 to 64 letters"),
    "name that is a number": (("tiers.yaml", TIER.replace("extra:", "5:")), 1, "a key must be a text; put it in quotes"),
    "name that is a truth value": (("tiers.yaml", TIER.replace("extra:", "on:")), 1, "a key must be a text; put it in quotes"),
    "name twice": (("tiers.yaml", TIER + TIER), 7, "extra stands twice; first on line 1"),
    "key twice": (tier("  priority: 3\n", "  priority: 3\n  priority: 4\n"), 4, "priority stands twice; first on line 3"),
    "nothing to remove": (("tiers.yaml", "\npremum: null\n"), 2, "nothing to remove: unknown entry premum; did you mean premium?"),
    # limits
    "unknown dimension": (tier("dimension: gpus", "dimension: gpu"), 5, "extra: limits.0.dimension: unknown dimension gpu; did you mean gpus?"),
    "limit without amount": (tier("      amount: 2\n"), 5, "extra: limits.0.amount is missing"),
    "fraction of a GPU": (tier("amount: 2", "amount: 1.5"), 6, "extra: limits.0.amount: the amount must be a whole number"),
    "negative limit": (tier("amount: 2", "amount: -2"), 6, "extra: limits.0.amount: the amount must be a whole number"),
    "bytes without unit": (tier("gpus\n      amount: 2", "memory_bytes\n      amount: 32"), 6, "extra: limits.0.amount: write the amount with its unit"),
    "bytes in a wrong unit": (
        tier("gpus\n      amount: 2", "memory_bytes\n      amount: 32 GB"),
        6,
        "extra: limits.0.amount: '32 GB' is not an amount of bytes",
    ),
    "amount far too large": (tier("amount: 2", "amount: 9999999999999999"), 6, "extra: limits.0.amount: the amount is too large"),
    "hours as a fraction": (
        tier("gpus\n      amount: 2", "gpu_hours\n      window_days: 7\n      amount: 1.5"),
        7,
        "extra: limits.0.amount: the amount must be",
    ),
    "window missing": (tier("gpus\n      amount: 2", "gpu_hours\n      amount: 2"), 5, "extra: limits.0.window_days: window_days is missing"),
    "window on a count": (tier("amount: 2", "amount: 2\n      window_days: 7"), 7, "extra: limits.0.window_days: window_days does not apply to gpus"),
    "type on memory": (
        tier("gpus\n      amount: 2", "memory_bytes\n      amount: 2 GiB\n      gpu_type: h100"),
        7,
        "extra: limits.0.gpu_type: gpu_type applies to",
    ),
    "limit of an unknown type": (tier("amount: 2", "amount: 2\n      gpu_type: h10"), 7, "extra: unknown GPU type h10; did you mean"),
    "limit twice": (tier(new="    - {dimension: gpus, amount: 3}\n"), 7, "extra: the limit of gpus stands twice"),
    # references
    "unknown GPU type of a template": (template(new="  gpu_types:\n    - h100\n    - h1000\n"), 10, "lab: unknown GPU type h1000; did you mean h100?"),
    "GPU type twice": (template(new="  gpu_types: [l4, l4]\n"), 8, "lab: the GPU type l4 stands twice"),
    "unknown cost centre": (project("centre: personal", "centre: persnal"), 3, "bio: unknown cost centre persnal; did you mean personal?"),
    "second personal project": (project(new="  is_personal: true\n"), 4, "bio: personal is the personal project already"),
    "no personal project": (("projects.yaml", "# gone\npersonal: null\n"), 2, "personal: no project has is_personal: true"),
    "personal project made ordinary": (
        ("projects.yaml", "personal:\n  display_name: P\n  cost_centre: personal\n"),
        1,
        "personal: no project has is_personal: true",
    ),
    "no default tier": (("tiers.yaml", "default: null\n"), 1, "default: the tier default must exist"),
    "no rate card": (("rates.yaml", '"2026-01": null\n'), 1, "2026-01: there must be at least one rate card"),
    "no type for the others": (("gpu_types.yaml", "other: null\n"), 1, "other: the GPU type other must exist"),
    "no type for simulated ones": (("gpu_types.yaml", "\nsimulated: null\n"), 2, "simulated: the GPU type simulated must exist"),
    "match with capitals": (("gpu_types.yaml", "x1:\n  display_name: X1\n  match: [x1, X-ONE]\n"), 3, "x1: match.1 must be in lower case"),
    # rates
    "price as a fraction": (card('"0.05"', "0.05"), 4, "2027-01: cpu_only_hour: write a price as a quoted decimal"),
    "price as a number": (card('"1.00"', "1"), 6, "2027-01: gpu_hour.*: write a price as a quoted decimal"),
    "price that is no number": (card('"1.00"', "free"), 6, "2027-01: gpu_hour.*: write a price as a quoted decimal"),
    "price below zero": (card('"1.00"', '"-1.00"'), 6, "2027-01: gpu_hour.*: -1.00 is negative; write a price as a quoted decimal"),
    "price in scientific notation": (card('"1.00"', '"1e3"'), 6, "2027-01: gpu_hour.*: write a price as a quoted decimal"),
    "price of an unknown type": (card('"*": "1.00"', '"*": "1.00"\n    h10: "2.00"'), 7, "2027-01: unknown GPU type h10; did you mean"),
    "unpriced types": (card('"*"', "h100"), 5, "2027-01: no price for h200, gh200"),
    "day instead of instant": (card("2027-01-01T00:00:00Z", "2027-01-01"), 2, "2027-01: effective_from: write an instant with its time zone"),
    "instant without zone": (card("00:00Z", "00:00"), 2, "2027-01: effective_from: write an instant with its time zone"),
    "no instant": (card("2027-01-01T00:00:00Z", "soon"), 2, "2027-01: effective_from: write an instant with its time zone"),
    "currency": (card("EUR", "euro"), 3, "2027-01: currency: euro is no currency; it must be three capital letters"),
    "unknown currency": (card("EUR", "EUX"), 3, "2027-01: currency: unknown currency EUX; did you mean"),
    "unknown SKU": (card("", "  gpu_hours: {}\n"), 7, "2027-01: unknown key gpu_hours; did you mean gpu_hour?"),
    "idle price of an unknown type": (card("", "  idle_gpu_hour: {h10: '1'}\n"), 7, "2027-01: unknown GPU type h10; did you mean"),
    "negative memory": (card("", "  memory_gib_hour: '-0.1'\n"), 7, "2027-01: memory_gib_hour: -0.1 is negative"),
    "discount of more than all": (card("", "  tier_discount_percent: {default: '101'}\n"), 7, "2027-01: tier_discount_percent.default: write a discount"),
    "discount of an unknown tier": (card("", "  tier_discount_percent: {defualt: '1'}\n"), 7, "2027-01: unknown tier defualt; did you mean default?"),
    "discount of an unknown project": (card("", "  project_discount_percent: {nowhere: '1'}\n"), 7, "2027-01: unknown project nowhere"),
    "unknown time zone": (
        card("", OFF_PEAK.format(zone="Europe/Berlinn", day="mon", end="06:00")),
        8,
        "2027-01: off_peak.time_zone: unknown time zone Europe/Berlinn; did you mean Europe/Berlin?",
    ),
    "unknown weekday": (
        card("", OFF_PEAK.format(zone="UTC", day="monday", end="06:00")),
        11,
        "2027-01: off_peak.windows.0.weekdays.0: unknown weekday monday; did you mean mon?",
    ),
    "hour that no day has": (card("", OFF_PEAK.format(zone="UTC", day="mon", end="24:30")), 13, "2027-01: off_peak.windows.0.end: write a local time"),
    "two cards at once": (card("2027-01-01T", "2026-01-01T"), 2, "2027-01: another rate card begins at the same instant"),
    # YAML itself
    "YAML syntax": (
        ("tiers.yaml", "extra:\n  limits: [\n  priority: 3\n"),
        4,
        "not valid YAML: expected ',' or ']', but got '<stream end>', while parsing a flow sequence that begins on line 2",
    ),
    "tab for indent": (("tiers.yaml", "extra:\n\tpriority: 3\n"), 2, "not valid YAML: found character '\\t'"),
    "forbidden character": (("tiers.yaml", "extra:\n  a: \x07\n"), 2, "not valid YAML: special characters are not allowed"),
    "two documents": (("tiers.yaml", "{}\n---\n{}\n"), 2, "not valid YAML: but found another document"),
    "a list": (("tiers.yaml", "# tiers\n- default\n"), 2, "the file must be a mapping from names to entries"),
    "a text": (("tiers.yaml", "default\n"), 1, "the file must be a mapping from names to entries"),
    "alias": (("tiers.yaml", "a: &a {display_name: A, priority: 1, limits: []}\nb: *a\n"), 1, "aliases (*name) are not supported"),
    "python object": (("tiers.yaml", TIER.replace("Extra", "!!python/object/apply:os.system [ls]")), 2, "extra: display_name must be a text"),
    "unknown tag": (("tiers.yaml", TIER.replace("Extra", "!secret x")), 2, "the value x is not supported"),
    "complex key": (("tiers.yaml", "? [a, b]\n: 1\n"), 1, "a key must be a text; put it in quotes"),
    "merge key": (tier("  priority: 3\n", "  priority: 3\n  <<: {a: 1}\n"), 4, "extra: unknown key <<"),
}


@pytest.mark.parametrize(("file", "line", "text"), CASES.values(), ids=CASES)
def test_problem_names_file_line_and_the_fix(tmp_path: Path, file, line, text):
    name, content = file
    (tmp_path / name).write_text(content)
    found = problems(tmp_path)
    assert any(problem.startswith(f"{name}:{line}: {text}") for problem in found), found
    assert all(problem.isprintable() for problem in found)


def test_all_problems_of_all_files_come_at_once_in_order(tmp_path: Path):
    (tmp_path / "tiers.yaml").write_text("default: null\nextra:\n  display_name: 3\n  priority: x\n  limits: [{dimension: gpu, amount: 1}]\n")
    (tmp_path / "projects.yaml").write_text("bio: {display_name: B, cost_centre: nowhere, gruops: []}\n")
    (tmp_path / "rates.yaml").write_text("[")
    found = problems(tmp_path)
    assert [problem.split(": ")[0] for problem in found] == ["projects.yaml:1", "rates.yaml:1", "tiers.yaml:1", "tiers.yaml:3", "tiers.yaml:4", "tiers.yaml:5"]


def test_message_holds_every_problem(tmp_path: Path):
    (tmp_path / "tiers.yaml").write_text("default: null\nguest: 1\n")
    with pytest.raises(CatalogError) as caught:
        load_catalog([tmp_path])
    assert caught.value.message.splitlines()[0] == "The catalogue has 2 problems:"
    assert caught.value.message.splitlines()[1:] == list(caught.value.problems)


def test_wrong_entry_is_still_known_by_its_name(tmp_path: Path):
    (tmp_path / "cost_centres.yaml").write_text("lab: {dispaly_name: Lab}\n")
    (tmp_path / "projects.yaml").write_text("bio: {display_name: B, cost_centre: lab}\n")
    assert all(problem.startswith("cost_centres.yaml:1: lab: ") for problem in problems(tmp_path))


@pytest.mark.parametrize("name", ["tier.yaml", "templates.yaml", "rates.yml"])
def test_file_that_nobody_would_read_is_a_problem(tmp_path: Path, name):
    (tmp_path / name).write_text("")
    (problem,) = problems(tmp_path)
    assert problem.startswith(f"{name}: nothing reads this file; a catalogue folder holds environment_templates.yaml, tiers.yaml, ")


def test_not_utf8_names_the_line(tmp_path: Path):
    (tmp_path / "tiers.yaml").write_bytes(b"# fine\nextra:\n  display_name: B\xfcro\n")
    assert problems(tmp_path) == ["tiers.yaml:3: is not UTF-8 text; save the file as UTF-8"]


def test_missing_folder_is_a_problem(tmp_path: Path):
    with pytest.raises(CatalogError, match=r"nowhere: the catalogue folder cannot be read: No such file or directory"):
        load_catalog([tmp_path / "nowhere"])


def test_unreadable_file_is_a_problem(tmp_path: Path):
    """A folder in the file's place cannot be read by root either."""
    (tmp_path / "tiers.yaml").mkdir()
    assert problems(tmp_path) == ["tiers.yaml: cannot be read: Is a directory"]


def test_dangling_link_is_a_problem(tmp_path: Path):
    (tmp_path / "tiers.yaml").symlink_to(tmp_path / "gone")
    assert problems(tmp_path) == ["tiers.yaml: cannot be read: No such file or directory"]


@pytest.mark.parametrize("content", ["[" * 5000, "a: " + "{b: " * 3000, "- " * 5000 + "x"])
def test_deep_nesting_is_a_problem_not_a_crash(tmp_path: Path, content):
    (tmp_path / "tiers.yaml").write_text(content)
    assert problems(tmp_path)


def test_alias_bomb_is_refused_at_once(tmp_path: Path):
    rows = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    (tmp_path / "tiers.yaml").write_text("\n".join(rows))
    assert any("aliases" in problem for problem in problems(tmp_path))


def test_huge_file_is_refused(tmp_path: Path):
    (tmp_path / "tiers.yaml").write_text("#" * (4 * 1024**2 + 1))
    assert problems(tmp_path) == ["tiers.yaml: the file is larger than 4 MiB"]
