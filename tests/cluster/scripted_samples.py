"""Samples of a cluster's GPUs as a test says them: no keeper sees the GPUs of other machines.

What is made of them is the platform's own: the same meter, the same rows, and the keeper that reads them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.activity_meter import ActivityMeter

SAMPLE_SECONDS = 2.0


class ScriptedSamples:
    """Looks at all GPUs again and again, beside the keeper, until it is closed.

    Parameters
    ----------
    usual_percent
        Utilisation of every GPU of which nothing else is said.
    """

    def __init__(self, factory: Factory, usual_percent: float) -> None:
        self._usual_percent = usual_percent
        self._percents: Mapping[str, float] = {}
        self._meter = ActivityMeter(
            database=factory.database,
            allocations=factory.allocations,
            devices=factory.devices,
            activity=factory.activity,
            sampler=self,
            policy=factory.policies.current,
            clock=factory.clock,
        )
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, percents: Mapping[str, float]) -> None:
        """Say what some GPUs do from now on, by UUID."""
        self._percents = dict(percents)

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        """Return what each GPU does, by UUID."""
        return {device.uuid: GpuSample(at, self._percents.get(device.uuid, self._usual_percent), 0) for device in devices}

    def close(self) -> None:
        """Look no more."""
        self._end.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            with suppress(ServiceUnavailableError):  # the rows are locked: the next look tells as much
                self._meter.sample()
