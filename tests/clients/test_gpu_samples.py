"""What GPUs do: as NVML says it, or as a file says it of simulated ones; what nobody says is absent."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace

import pytest

from aiplatform_hub.clients.gpu_samples import SCRIPT_FILE, GpuSampler
from aiplatform_hub.clients.gpus import discover
from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.units import GIB

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def script(tmp_path):
    return tmp_path / SCRIPT_FILE


def sample(script, devices):
    return GpuSampler(script=script).sample(devices, NOW)


def test_a_file_says_what_simulated_gpus_do(script):
    first, second, third = discover(3, {})
    script.write_text(json.dumps({"0": {"utilisation_percent": 90, "memory_gib": 1.5}, second.uuid: {"utilisation_percent": 0.5}}))
    assert sample(script, (first, second, third)) == {
        first.uuid: GpuSample(NOW, 90, 3 * GIB // 2),
        second.uuid: GpuSample(NOW, 0.5, 0),
    }


def test_the_power_of_simulated_gpus_is_what_the_file_says(script):
    (device,) = discover(1, {})
    script.write_text(json.dumps({"0": {"utilisation_percent": 90, "power_watts": 612.5}}))
    assert sample(script, (device,)) == {device.uuid: GpuSample(NOW, 90, 0, power_milliwatts=612_500)}


def test_without_a_file_nothing_is_known_of_simulated_gpus_and_nothing_is_said(script, caplog):
    assert sample(script, discover(2, {})) == {}
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Invalid JSON"),
        ("[]", "the whole file: Input should be an object"),
        ('{"0": {"utilisation_percent": 101}}', "0.utilisation_percent: Input should be less than or equal to 100"),
        ('{"0": {"utilisation_percent": NaN}}', "0.utilisation_percent"),
        ('{"0": {"utilisation_percent": "90"}}', "0.utilisation_percent: Input should be a valid number"),
        ('{"0": {"utilisation_percent": 1, "memory": 2}}', "0.memory: Extra inputs are not permitted"),
        ('{"0": {}}', "0.utilisation_percent: Field required"),
        ('{"0": {"utilisation_percent": 1, "memory_gib": -1}}', "0.memory_gib"),
    ],
)
def test_a_bad_file_is_told_once_and_makes_all_unknown(script, caplog, text, words):
    script.write_text(text)
    sampler = GpuSampler(script=script)
    for _ in range(3):
        assert sampler.sample(discover(2, {}), NOW) == {}
    assert len(caplog.records) == 1
    assert words in caplog.text
    assert str(script) in caplog.text
    script.write_text('{"1": {"utilisation_percent": 1}}')
    assert len(sampler.sample(discover(2, {}), NOW)) == 1
    script.write_text(text)
    sampler.sample(discover(2, {}), NOW)
    assert len(caplog.records) == 2, "it was well in between"


def test_a_folder_in_its_place_is_told_too(script, caplog):
    script.mkdir()
    assert sample(script, discover(1, {})) == {}
    assert "Is a directory" in caplog.text


def test_a_name_that_no_gpu_has_is_told_and_the_others_count(script, caplog):
    script.write_text('{"0": {"utilisation_percent": 1}, "7": {"utilisation_percent": 2}}')
    assert len(sample(script, discover(2, {}))) == 1
    assert "no simulated GPU is called '7'" in caplog.text


class NvmlError(Exception):
    """As pynvml raises."""


def nvml(answers):
    """Return the boundary: what the driver's library would answer for each UUID, or raise."""

    def ask(uuid):
        if answers.get(uuid) is None:
            raise NvmlError
        return answers[uuid]

    module = ModuleType("pynvml")
    module.NVMLError = NvmlError
    module.nvmlInit = module.nvmlShutdown = lambda: None
    module.nvmlDeviceGetHandleByUUID = lambda uuid: uuid
    module.nvmlDeviceGetUtilizationRates = lambda uuid: SimpleNamespace(gpu=ask(uuid)[0], memory=99)
    module.nvmlDeviceGetMemoryInfo = lambda uuid: SimpleNamespace(used=ask(uuid)[1], total=80 * GIB)
    return module


def test_nvml_says_what_real_gpus_do_and_one_that_does_not_answer_is_absent(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml({"GPU-a": (37, 5 * GIB), "GPU-b": None}))
    real = (GpuDevice("GPU-a", "h100", 80 * GIB), GpuDevice("GPU-b", "h100", 80 * GIB, index=1))
    assert sample(script, real) == {"GPU-a": GpuSample(NOW, 37.0, 5 * GIB)}


def test_nvml_says_what_energy_real_gpus_took_where_they_know(script, monkeypatch):
    answers = nvml({"GPU-a": (37, 5 * GIB), "GPU-b": (37, 5 * GIB)})
    monkeypatch.setitem(sys.modules, "pynvml", answers)

    def say(place):
        def ask(uuid):
            found = {"GPU-a": (7_000, 300_000), "GPU-b": (None, 250_000)}[uuid][place]
            if found is None:
                raise NvmlError
            return found

        return ask

    answers.nvmlDeviceGetTotalEnergyConsumption, answers.nvmlDeviceGetPowerUsage = say(0), say(1)
    real = (GpuDevice("GPU-a", "h100", 80 * GIB), GpuDevice("GPU-b", "h100", 80 * GIB, index=1))
    assert sample(script, real) == {"GPU-a": GpuSample(NOW, 37.0, 5 * GIB, 7_000, 300_000), "GPU-b": GpuSample(NOW, 37.0, 5 * GIB, None, 250_000)}


def test_without_a_driver_nothing_is_known_of_real_gpus(script, monkeypatch):
    broken = nvml({})
    broken.nvmlInit = lambda: (_ for _ in ()).throw(NvmlError())
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert sample(script, (GpuDevice("GPU-a", "h100", 80 * GIB),)) == {}


def test_a_file_says_nothing_of_real_gpus(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml({}))
    script.write_text('{"0": {"utilisation_percent": 1}}')
    assert sample(script, (GpuDevice("GPU-a", "h100", 80 * GIB),)) == {}
