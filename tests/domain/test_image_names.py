"""What a trial printed, and what follows from it."""

from __future__ import annotations

import subprocess

import pytest

from aiplatform_hub.domain.images import TRIAL_SCRIPT, ImageFacts, problem_of, read_facts

PRINTED = "Entered start.sh\njupyterhub=6.1.1\njupyterlab=4.6.6\npython=3.12.13\nend=\n"


def test_versions_are_read_whatever_an_entry_point_prints_around_them():
    assert read_facts(PRINTED) == ImageFacts("6.1.1", "4.6.6", "3.12.13")


@pytest.mark.parametrize("printed", ["", "end=\n", "python=3.12.13\nend=\n"])
def test_what_is_not_there_is_none(printed):
    assert read_facts(printed).jupyterhub is None
    assert read_facts(printed).jupyterlab is None


@pytest.mark.parametrize(
    ("jupyterhub", "words"),
    [
        (None, "has no jupyterhub-singleuser"),
        ("5.3.0", "5.3.0 is too old"),
        ("7.0.0", "7.0.0 is too new"),
        ("ModuleNotFoundError: No module named 'jupyterhub'", "does not start: ModuleNotFoundError"),
        ("", "does not start"),
    ],
)
def test_an_image_that_cannot_serve_is_told_why(jupyterhub, words):
    assert words in problem_of(ImageFacts(jupyterhub, "4.6.6", "3.12.13"))


@pytest.mark.parametrize("jupyterhub", ["6.0.0", "6.1.1", "6.2.0b1", "6.10.3.dev1+g0"])
def test_every_6_serves(jupyterhub):
    assert problem_of(ImageFacts(jupyterhub, None, None)) is None


def test_the_script_says_what_the_programs_on_the_path_answer(tmp_path):
    for name, answer in (("jupyterhub-singleuser", "6.1.1"), ("jupyter-lab", "4.6.6"), ("python", "3.12.13")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho a warning >&2\necho {answer}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(["sh", "-c", TRIAL_SCRIPT], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    assert read_facts(done.stdout) == ImageFacts("6.1.1", "4.6.6", "3.12.13")
