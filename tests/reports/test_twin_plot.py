"""The twin's figure is a PNG or an SVG; without matplotlib the refusal says how to install it."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from aiplatform_hub.cli.main import COMMANDS
from aiplatform_hub.domain.policy import HOUR_SECONDS
from aiplatform_hub.domain.twin import TwinResult, UserShare, Wait
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.reports import twin_plot
from aiplatform_hub.reports.twin_plot import MOST_USERS, check_plot, plot


def result(users=2, hours=(0.5, 30.0), gpus=4):
    names = [f"user{number:02}" for number in range(users)]
    waits = tuple(Wait(names[0], "vision", gpus, each > 1, 0, each * HOUR_SECONDS) for each in hours)
    return TwinResult("lab", 0.5, 0.8, 0.1, waits, {name: UserShare(3600.0 * (number + 1), 1800.0) for number, name in enumerate(names)}, ())


def words(svg):
    return {"".join(node.itertext()).strip() for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}  # noqa: S314  made here


def test_an_svg_says_use_waits_and_shares():
    said = words(plot([result()], ".svg"))
    assert {"Use of the GPUs", "Waits", "Share by user", "lab", "user00", "user01", "light (1)", "heavy (1)", "4-GPU (2)"} <= said
    assert "100" in said, "axis of the use in percent"


def test_a_kind_that_nobody_asked_for_has_no_line():
    assert not {word for word in words(plot([result(gpus=1)], ".svg")) if word.startswith("4-GPU")}


def test_without_any_wait_there_is_still_a_figure():
    assert "Waits" in words(plot([result(hours=())], ".svg"))


def test_only_the_largest_shares_have_room():
    said = words(plot([result(users=MOST_USERS + 1)], ".svg"))
    assert f"Share by user, the {MOST_USERS} largest of {MOST_USERS + 1}" in said
    assert "user00" not in said
    assert "user01" in said


def test_a_png_is_a_png():
    assert plot([result()], ".PNG").startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("name", ["figure.pdf", "figure", "png", "figure.svg.gz"])
def test_another_ending_is_refused(name):
    with pytest.raises(ConfigurationError, match=r"A plot is a \.png or \.svg file"):
        check_plot(Path(name))


def test_without_matplotlib_the_refusal_says_how_to_install_it(monkeypatch):
    check_plot(Path("figure.svg"))
    monkeypatch.setattr(twin_plot, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"needs matplotlib, .* Install it: .*python.* -m pip install 'matplotlib>="):
        check_plot(Path("figure.svg"))


def test_no_command_nor_server_loads_matplotlib_or_numpy():
    modules = sorted({target.partition(":")[0] for target in COMMANDS.values()})
    servers = [
        "aiplatform_hub.install",
        "aiplatform_hub.factory",
        "aiplatform_hub.hub.spawner",
        "aiplatform_hub.services.keeper",
        "aiplatform_hub.services.platform",
    ]
    program = (
        f"import importlib, sys\nfor name in {modules + servers}: importlib.import_module(name)\nprint(sorted({{'matplotlib', 'numpy'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
