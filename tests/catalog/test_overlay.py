"""Writing an entry into an operator's file: everything else in it stays, and nothing invalid is ever written."""

from __future__ import annotations

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.catalog.overlay import with_entry, write_environment_template
from aiplatform_hub.errors import CatalogError, ConfigurationError

ONE = {"min": 1, "max": 1, "default": 1}
ENTRY = {
    "display_name": "Course: “R”",
    "description": "One sentence.",
    "container_image": "registry.example.org/ai/r:1",
    "gpus": {"min": 0, "max": 2, "default": 0},
    "memory_gib": ONE,
    "cpu_cores": ONE,
    "command": ["jupyterhub-singleuser"],
}
FILE = "# ours\nfirst: {a: 1}  # one line\n\n# about the second\nsecond:\n  a: 1\n  # inside\n  b: 2\n\n# about the third\nthird: {}\n"


def test_a_new_entry_goes_to_the_end_and_nothing_else_moves():
    assert with_entry(FILE, "fourth", {"a": 1}) == FILE + "fourth: {a: 1}\n"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("first", "first: {a: 1}  # one line\n", "first: {z: 9}\n"),
        ("second", "second:\n  a: 1\n  # inside\n  b: 2\n", "second: {z: 9}\n"),
        ("third", "third: {}\n", "third: {z: 9}\n"),
    ],
)
def test_a_replaced_entry_leaves_the_comments_before_and_after_it(name, old, new):
    assert with_entry(FILE, name, {"z": 9}) == FILE.replace(old, new)


def test_a_file_without_a_last_line_break_stays_valid():
    assert with_entry("a: {}", "b", {"c": 1}) == "a: {}\nb: {c: 1}\n"


def test_an_entry_is_written_and_read_again(tmp_path):
    file = write_environment_template(tmp_path / "catalog", (), "course", ENTRY)
    template = load_catalog([tmp_path / "catalog"]).environment_templates["course"]
    assert (template.display_name, template.container_image, template.gpus.maximum) == ("Course: “R”", "registry.example.org/ai/r:1", 2)
    write_environment_template(tmp_path / "catalog", (tmp_path / "catalog",), "course", {**ENTRY, "display_name": "New"})
    assert file.read_text().count("course:") == 1
    assert load_catalog([tmp_path / "catalog"]).environment_templates["course"].display_name == "New"


def test_an_invalid_entry_is_not_written_and_the_message_names_the_real_file(tmp_path):
    write_environment_template(tmp_path, (tmp_path,), "course", ENTRY)
    before = (tmp_path / "environment_templates.yaml").read_text()
    with pytest.raises(CatalogError, match="Nothing was written") as raised:
        write_environment_template(tmp_path, (tmp_path,), "bad", {**ENTRY, "gpu_types": ["h1000"]})
    assert f"{tmp_path}/environment_templates.yaml:" in raised.value.message
    assert (tmp_path / "environment_templates.yaml").read_text() == before


def test_only_checking_writes_nothing(tmp_path):
    write_environment_template(tmp_path / "catalog", (), "course", ENTRY, is_only_checked=True)
    assert not (tmp_path / "catalog").exists()


def test_a_file_that_is_no_yaml_is_left_alone(tmp_path):
    (tmp_path / "environment_templates.yaml").write_text("a: [\n")
    with pytest.raises(CatalogError, match="not valid YAML"):
        write_environment_template(tmp_path, (tmp_path,), "course", ENTRY)


def test_a_folder_that_cannot_be_written_gets_the_entry_to_paste(tmp_path):
    (tmp_path / "catalog").write_text("")
    with pytest.raises(ConfigurationError, match=r"(?s)Cannot write .*container_image: registry\.example\.org/ai/r:1"):
        write_environment_template(tmp_path / "catalog", (), "course", ENTRY)
