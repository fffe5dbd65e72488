"""`aiplatform environments build`: what repeats, what is interrupted, what is refused. The images here have empty locks."""

from __future__ import annotations

from fcntl import LOCK_EX, flock
from pathlib import Path

import pytest

from aiplatform_hub.catalog.loader import load_catalog
from aiplatform_hub.errors import ConfigurationError, ConflictError, ServiceUnavailableError
from aiplatform_hub.supervisor import environments as module
from aiplatform_hub.supervisor.environments import EnvironmentBuilder


@pytest.fixture
def said():
    return []


@pytest.fixture
def builder(tmp_path, said):
    catalog = load_catalog()
    for image in ("pytorch", "tensorflow", "code-server"):
        (tmp_path / "images" / image).mkdir(parents=True)
        (tmp_path / "images" / image / "requirements.lock").write_text("# nothing\n")
    return EnvironmentBuilder(folder=tmp_path / "environments", catalog=catalog, say=said.append, images_dir=tmp_path / "images")


@pytest.fixture
def installed(monkeypatch):
    """Installing without a network: the calls, and what to raise."""
    calls: list[object] = []
    failures: list[BaseException] = []

    def install(python, lock, **_):
        calls.append(lock)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(module, "install_locked", install)
    monkeypatch.setattr(module, "run_step", lambda command, **_: Path(command[-1]).mkdir(parents=True))
    return calls, failures


def versions(builder):
    return sorted(path.name for path in (builder._folder / ".versions").iterdir() if path.is_dir())


def test_two_templates_share_an_image_and_a_second_build_has_nothing_to_do(builder, said, installed):
    assert builder.build("multi-gpu") == builder.build("pytorch")
    assert len(installed[0]) == 1
    assert "up to date" in said[-1]
    builder.build("pytorch", is_again=True)
    assert len(installed[0]) == 2
    assert len(versions(builder)) == 2


@pytest.mark.parametrize("name", ["nope", "..", ".", "", "jupyterlab"])
def test_another_name_is_refused_with_the_names_that_can_be_built(builder, name):
    with pytest.raises(ConfigurationError, match="code-server, multi-gpu, pytorch, tensorflow"):
        builder.build(name)


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ServiceUnavailableError("no network")])
def test_an_interrupted_build_leaves_nothing_and_what_stood_before(builder, installed, failure):
    before = builder.build("pytorch").resolve()
    installed[1].append(failure)
    with pytest.raises(type(failure)):
        builder.build("pytorch", is_again=True)
    assert versions(builder) == [before.name]
    assert builder.build("pytorch").resolve() == before


def test_a_full_disk_is_named(builder, installed, monkeypatch):
    installed[1].append(ServiceUnavailableError("Installing failed"))
    monkeypatch.setattr(module, "_NEARLY_FULL_BYTES", 1 << 60)
    with pytest.raises(ServiceUnavailableError, match="is full"):
        builder.build("pytorch")


def test_leftovers_of_a_killed_build_go_with_the_next(builder, installed):
    left = builder._folder / ".versions" / "pytorch-20250101T000000"
    left.mkdir(parents=True)
    other = builder._folder / ".versions" / "pytorch-nightly-20250101T000000"
    other.mkdir()
    builder.build("pytorch")
    assert not left.exists()
    assert other.exists()


def test_one_build_of_an_image_at_a_time(builder, installed):
    builder.build("pytorch")
    with (builder._folder / ".versions" / ".pytorch.lock").open("a") as file:
        flock(file, LOCK_EX)
        with pytest.raises(ConflictError, match="being built"):
            builder.build("pytorch", is_again=True)
        builder.build("tensorflow")


def test_a_changed_lock_of_either_kind_is_out_of_date(builder, installed, tmp_path):
    builder.build("tensorflow")
    (tmp_path / "images" / "tensorflow" / "package-lock.json").write_text("{}")
    assert not next(state for state in builder.list() if state.image == "tensorflow").is_current
