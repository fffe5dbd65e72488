"""How settings about notices reach the keeper: traits, command line, environment; and what is refused at the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

import pytest
from traitlets import TraitError
from traitlets.config import Config

from aiplatform_hub.config import Settings, add_arguments, arguments_of, notifier_secret, settings_from
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.factory import Factory
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.install import install
from aiplatform_hub.supervisor.operator_config import read_operator_config
from aiplatform_hub.supervisor.options import RunOptions
from tests.support.hub import REPOSITORY

NOTIFIERS = {"email": {"host": "smtp.example.org", "from": "hub@example.org"}, "webhook": {"url": "https://example.org/hook"}}
PASSWORD, SIGNING = "smtp-password-of-the-test", "signing-key-of-the-test"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that a trial as root accepts: everybody may go through it."""
    with tempfile.TemporaryDirectory(prefix="aiplatform-notices-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_traits_reach_a_service_by_its_command_line(tmp_path: Path) -> None:
    own = Config({"AIPlatform": {"data_dir": str(tmp_path), "grant_grace_minutes": 0, "notifiers": NOTIFIERS, "public_url": "https://gpu.example.org"}})
    settings = AIPlatform(config=own).settings()
    assert settings.notifier_options == {"page": {}, **NOTIFIERS}
    parser = ArgumentParser()
    add_arguments(parser)
    again = settings_from(parser.parse_args(arguments_of(settings)))
    assert (again.grant_grace_minutes, again.notifiers, again.public_url) == (0, settings.notifiers, "https://gpu.example.org")
    assert hash(settings)


def test_defaults_are_pages_alone_and_a_quarter_of_an_hour(tmp_path: Path) -> None:
    settings = AIPlatform(config=Config({"AIPlatform": {"data_dir": str(tmp_path)}})).settings()
    assert (settings.notifier_options, settings.grant_grace_minutes, settings.public_url) == ({"page": {}}, 15, "")
    assert "--notifiers" not in arguments_of(settings)


def test_supervisor_reads_them_from_the_operators_file(tmp_path: Path) -> None:
    file = tmp_path / "config.py"
    file.write_text(f"c.AIPlatform.notifiers = {NOTIFIERS!r}\nc.AIPlatform.grant_grace_minutes = 30\nc.AIPlatform.public_url = 'https://x.example'\n")
    found = read_operator_config(RunOptions(data_dir=tmp_path, config_file=file))
    assert (json.loads(found.notifiers), found.grant_grace_minutes, found.public_url) == (NOTIFIERS, 30, "https://x.example")


def test_hub_hands_secrets_to_the_keeper_alone_and_by_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPLATFORM_NOTIFIER_EMAIL_SECRET", PASSWORD)
    monkeypatch.setenv("AIPLATFORM_NOTIFIER_WEBHOOK_SECRET", SIGNING)
    c = Config()
    c.AIPlatform.data_dir, c.AIPlatform.place, c.AIPlatform.notifiers = str(tmp_path), "machine", NOTIFIERS
    install(c)
    services = {service["name"]: service for service in c.JupyterHub.services}
    assert services["keeper"]["environment"] == {"AIPLATFORM_NOTIFIER_EMAIL_SECRET": PASSWORD, "AIPLATFORM_NOTIFIER_WEBHOOK_SECRET": SIGNING}
    assert PASSWORD not in str(services["platform"])
    assert PASSWORD not in str(services["keeper"]["command"])


def test_secret_comes_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{PASSWORD}\n")
    monkeypatch.delenv("AIPLATFORM_NOTIFIER_MY_CHAT_SECRET", raising=False)
    assert notifier_secret("my-chat", str(file)) == PASSWORD
    assert notifier_secret("my-chat", "") == ""
    monkeypatch.setenv("AIPLATFORM_NOTIFIER_MY_CHAT_SECRET", SIGNING)
    assert notifier_secret("my-chat", str(file)) == SIGNING
    monkeypatch.delenv("AIPLATFORM_NOTIFIER_MY_CHAT_SECRET")
    with pytest.raises(ConfigurationError, match=r"c\.AIPlatform\.notifiers\['my-chat'\]\['secret_file'\] cannot be read: .*nowhere"):
        notifier_secret("my-chat", "/nowhere/secret")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"notifiers": "{"}, "c.AIPlatform.notifiers must map each notifier's name to its options, for example"),
        ({"notifiers": "[]"}, "c.AIPlatform.notifiers must map each notifier's name to its options, for example"),
        ({"notifiers": '{"email": "smtp.example.org"}'}, "c.AIPlatform.notifiers must map each notifier's name to its options, for example"),
        ({"notifiers": '{"pigeon": {}}'}, "c.AIPlatform.notifiers names 'pigeon', which no installed package registers"),
        ({"notifiers": '{"email": {}}'}, "c.AIPlatform.notifiers['email'] lacks the option 'host'."),
        ({"notifiers": '{"webhook": {"url": "https://example.org/"}}'}, "c.AIPlatform.notifiers['webhook'] needs a secret of at least 16 characters"),
        ({"grant_grace_minutes": -1}, "c.AIPlatform.grant_grace_minutes is -1; it is a number of minutes, or 0 for ever."),
        ({"public_url": "gpu.example.org"}, "c.AIPlatform.public_url is 'gpu.example.org'; it begins with https://, as in a browser."),
    ],
)
def test_bad_setting_is_one_sentence(tmp_path: Path, values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Factory(Settings(data_dir=tmp_path, **values)).check_notices()
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("values", [{"grant_grace_minutes": -1}, {"notifiers": {"email": "x"}}, {"notifiers": ["email"]}])
def test_bad_trait_is_refused_by_its_type(values: dict[str, object]) -> None:
    with pytest.raises(TraitError):
        AIPlatform(**values)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("c.AIPlatform.notifiers = {'pigeon': {}}", "c.AIPlatform.notifiers names 'pigeon'"),
        ("c.AIPlatform.notifiers = ['email']", "c.AIPlatform.notifiers must map"),
        ("c.AIPlatform.notifiers = {'email': {'host': object()}}", "c.AIPlatform.notifiers must map"),
        ("c.AIPlatform.grant_grace_minutes = 'soon'", "grant_grace_minutes"),
    ],
)
def test_run_refuses_to_start_with_it(folder: Path, line: str, sentence: str) -> None:
    file = folder / "config.py"
    file.write_text(f"{line}\n")
    command = [sys.executable, "-c", "from aiplatform_hub.cli import main; main(prog_name='aiplatform')", "run", "--demo"]
    done = subprocess.run(
        [*command, "--data-dir", str(folder / "data"), "--config", str(file)],
        capture_output=True, text=True, timeout=120, check=False, cwd="/", env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
