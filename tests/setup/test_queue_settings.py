"""What the operator says of the queue reaches hub, platform and keeper alike."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import pytest

from aiplatform_hub.config import Place, QueueBackend, Settings, add_arguments, arguments_of, settings_from
from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.hub.traits import AIPlatform
from aiplatform_hub.supervisor.operator_config import read_operator_config
from aiplatform_hub.supervisor.options import RunOptions


def test_bounds_of_the_queue_are_read_from_the_operators_file(tmp_path: Path) -> None:
    (tmp_path / "jupyterhub_config.py").write_text(
        "c.AIPlatform.max_queued_per_user = 3\nc.AIPlatform.queue_interest_hours = 72\nc.AIPlatform.stop_inactive_minutes = 0\n"
    )
    operator = read_operator_config(RunOptions(data_dir=tmp_path))
    assert (operator.max_queued_per_user, operator.queue_interest_hours, operator.stop_inactive_minutes) == (3, 72, 0)


def test_bounds_of_the_queue_reach_the_services(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, hub_api_url="http://hub/hub/api", max_queued_per_user=3, queue_interest_hours=72, stop_inactive_minutes=7)
    parser = ArgumentParser()
    add_arguments(parser)
    assert settings_from(parser.parse_args(arguments_of(settings))) == settings


def test_the_choice_of_kueue_reaches_the_services(tmp_path: Path) -> None:
    kueue = {"queue_backend": QueueBackend.KUEUE, "kueue_queue": "hub-{project}", "kueue_priority": -7}
    settings = Settings(data_dir=tmp_path, hub_api_url="http://hub/hub/api", place=Place.CLUSTER, **kueue)
    parser = ArgumentParser()
    add_arguments(parser)
    assert settings_from(parser.parse_args(arguments_of(settings))) == settings
    traits = AIPlatform(place="cluster", queue_backend="kueue", kueue_queue="hub-{project}", kueue_priority=-7)
    said = traits.settings()
    assert {name: getattr(said, name) for name in kueue} == kueue


def test_kueue_is_refused_on_a_single_machine(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Kueue gives out the GPUs of a cluster"):
        AIPlatform(place="machine", queue_backend="kueue").settings()
    (tmp_path / "jupyterhub_config.py").write_text('c.AIPlatform.queue_backend = "kueue"\n')
    with pytest.raises(ConfigurationError, match="Kueue gives out the GPUs of a cluster"):
        read_operator_config(RunOptions(data_dir=tmp_path))
