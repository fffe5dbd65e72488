"""Each bad start gets one clear line with its fix and exit code 2, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from installation import AIPLATFORM, free_port

is_root = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="aiplatform-bad-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def run(folder: Path, *arguments: str, user: str | None = None, **kwargs: object) -> subprocess.CompletedProcess[str]:
    command = [AIPLATFORM, "run", "--data-dir", str(folder / "data"), *arguments]
    identity = {"user": user, "group": "nogroup", "extra_groups": []} if user else {}
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd="/", **identity, **kwargs)


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def _broken_catalog(folder: Path) -> list[str]:
    (folder / "catalog").mkdir()
    (folder / "catalog" / "tiers.yaml").write_text("default:\n  display_nam: Default\n")
    return ["--demo", "--catalog-dir", str(folder / "catalog")]


def _config_with_error(folder: Path) -> list[str]:
    (folder / "config.py").write_text("c.JupyterHub.bind_url = 'http://:8000'\nc.JupyterHub.x = undefined_name\n")
    return ["--demo", "--config", str(folder / "config.py")]


def _config_with_bad_syntax(folder: Path) -> list[str]:
    (folder / "config.py").write_text("c.JupyterHub.bind_url = \n")
    return ["--demo", "--config", str(folder / "config.py")]


def _missing_config(folder: Path) -> list[str]:
    return ["--demo", "--config", str(folder / "absent.py")]


def _data_dir_is_a_file(folder: Path) -> list[str]:
    (folder / "data").write_text("")
    return ["--demo"]


def _broken_ports_file(folder: Path) -> list[str]:
    (folder / "data" / "run").mkdir(parents=True)
    (folder / "data" / "run" / "ports.json").write_text("{")
    return ["--demo"]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_broken_catalog, ("tiers.yaml", "display_nam", "display_name")),
        (_config_with_error, ("config.py:2", "undefined_name")),
        (_config_with_bad_syntax, ("config.py:1",)),
        (_missing_config, ("absent.py", "--config")),
        (_data_dir_is_a_file, ("data directory", "--data-dir")),
        (_broken_ports_file, ("ports.json",)),
    ],
)
def test_spoiled_installation_is_refused_with_the_place(folder: Path, spoil: Callable[[Path], list[str]], words: tuple[str, ...]):
    assert_refused(run(folder, *spoil(folder), "--port", str(free_port())), *words)


def test_taken_port_is_named(folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = str(taken.getsockname()[1])
        assert_refused(run(folder, "--demo", "--port", port), port, "--port")


def test_missing_proxy_is_named_with_the_command_that_brings_it(folder: Path):
    # An own sys.prefix is what an installation without the proxy looks like.
    program = "import sys; sys.prefix = sys.argv.pop(1); from aiplatform_hub.cli import main; main(prog_name='aiplatform')"
    command = [sys.executable, "-c", program, str(folder), "run", "--demo", "--data-dir", str(folder / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert_refused(done, "aiplatform setup-proxy")


def test_production_without_rules_is_refused_one_after_the_other(folder: Path):
    if is_root:
        assert_refused(run(folder), "--allow-group", "--allow-all")
        assert_refused(run(folder, "--allow-all"), "--admin")
    else:
        assert_refused(run(folder, "--allow-all", "--admin", "me"), "authenticator", "--demo")


def test_production_without_root_needs_an_authenticator(folder: Path):
    (folder / "data").mkdir()
    user = None
    if is_root:
        user = "nobody"
        os.chown(folder / "data", 65534, 65534)
    assert_refused(run(folder, "--allow-all", "--admin", "me", user=user), "authenticator", "aiplatform run --demo")


def test_unreadable_data_directory_is_named(folder: Path):
    (folder / "data").mkdir(mode=0o500)
    if is_root:
        (folder / "data").chmod(0o700)
    user = "nobody" if is_root else None
    assert_refused(run(folder, "--demo", user=user), str(folder / "data"), "--data-dir")


def test_demo_as_root_refuses_a_home_that_the_unprivileged_account_cannot_reach(folder: Path):
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    if is_root:
        assert_refused(run(closed, "--demo"), "nobody", str(closed), "--data-dir")
    else:
        # Without root there is no other account: the refusal must come from the taken port, not from the folder.
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = str(taken.getsockname()[1])
            assert_refused(run(closed, "--demo", "--port", port), port)


@pytest.mark.parametrize("arguments", [("--port", "0"), ("--port", "x"), ("--simulated-gpus", "-1"), ("--unknown",)])
def test_wrong_use_is_exit_2(folder: Path, arguments: tuple[str, ...]):
    assert_refused(run(folder, "--demo", *arguments), "Usage")
