"""What the GPUs of this machine do now: as NVML says it, or for simulated ones as a file says it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from aiplatform_hub.clients.gpus import open_nvml
from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.units import GIB

SCRIPT_FILE = "simulated-utilisation.json"
"""Name of the file in the data directory that says what simulated GPUs do."""

EXAMPLE = '{"0": {"utilisation_percent": 90, "memory_gib": 4}}'

_LOG = logging.getLogger(__name__)


class _ScriptedUse(BaseModel):
    """What one simulated GPU does until the file says something else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    utilisation_percent: Annotated[float, Field(ge=0, le=100)]
    memory_gib: Annotated[float, Field(ge=0, le=1024)] = 0.0
    power_watts: Annotated[float, Field(ge=0, le=10_000)] | None = None

    def sample(self, at: datetime) -> GpuSample:
        """Return what a look at it says."""
        power = None if self.power_watts is None else round(self.power_watts * 1000)
        return GpuSample(at, self.utilisation_percent, round(self.memory_gib * GIB), power_milliwatts=power)


_SCRIPT = TypeAdapter(dict[str, _ScriptedUse])


class GpuSampler:
    """Looks at GPUs. One that does not answer is absent: nothing is known of it.

    Parameters
    ----------
    script
        A JSON file that gives each simulated GPU, by its index or UUID, ``utilisation_percent``, ``memory_gib`` and ``power_watts``. What is
        not in it does nothing that anybody knows; nor do all of them while there is no such file, or one with a mistake.
    """

    def __init__(self, *, script: Path) -> None:
        self._script = script
        self._trouble = ""

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        """Return what each GPU does, by UUID. Never raises.

        Parameters
        ----------
        at
            Now, aware UTC.
        """
        every = tuple(devices)
        real = [device.uuid for device in every if not device.is_simulated]
        found = _measured(real, at) if real else {}
        simulated = [device for device in every if device.is_simulated]
        return found | self._scripted(simulated, at) if simulated else found

    def _scripted(self, devices: Sequence[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        uses, trouble = self._read()
        strangers = uses.keys() - {name for device in devices for name in _names(device)}
        if strangers:
            trouble = f"no simulated GPU is called {min(strangers)!r}"
        self._tell(trouble)
        said = {device.uuid: next((uses[name] for name in _names(device) if name in uses), None) for device in devices}
        return {uuid: use.sample(at) for uuid, use in said.items() if use}

    def _read(self) -> tuple[Mapping[str, _ScriptedUse], str]:
        """Return what the file says, and what is wrong with it."""
        try:
            return _SCRIPT.validate_json(self._script.read_bytes()), ""
        except FileNotFoundError:
            return {}, ""
        except OSError as error:
            return {}, error.strerror or str(error)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return {}, f"{'.'.join(map(str, first['loc'])) or 'the whole file'}: {first['msg']}"

    def _tell(self, trouble: str) -> None:
        """Log a mistake once, until it is another one."""
        if trouble and trouble != self._trouble:
            _LOG.warning("%s: %s. What it does not say of a simulated GPU is unknown. Write for example %s", self._script, trouble, EXAMPLE)
        self._trouble = trouble


def _names(device: GpuDevice) -> tuple[str, str]:
    """Return what a file may call a GPU."""
    return device.uuid, str(device.index)


def _measured(uuids: Iterable[str], at: datetime) -> dict[str, GpuSample]:
    with open_nvml() as nvml:
        samples = {uuid: _sample(nvml, uuid, at) for uuid in uuids} if nvml else {}
    return {uuid: sample for uuid, sample in samples.items() if sample}


def _sample(nvml: Any, uuid: str, at: datetime) -> GpuSample | None:
    """Return what one GPU does; None if it does not say, as a part of a divided GPU (MIG) does not."""
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        utilisation, memory = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu), int(nvml.nvmlDeviceGetMemoryInfo(handle).used)
    except nvml.NVMLError:
        return None
    energy, power = (_number(nvml, ask, handle) for ask in ("nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPowerUsage"))
    return GpuSample(at, utilisation, memory, energy, power)


def _number(nvml: Any, ask: str, handle: Any) -> int | None:
    """Return a number that not every product says, such as its energy since the driver was loaded (mJ) or its power (mW)."""
    try:
        return int(getattr(nvml, ask)(handle))
    except (nvml.NVMLError, AttributeError):
        return None
