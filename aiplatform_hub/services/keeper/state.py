"""The platform's state as gauges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import nan

from aiplatform_hub import metrics
from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import AllocationState, GpuDevice
from aiplatform_hub.factory import Factory


def refresh(factory: Factory) -> frozenset[str]:
    """Set the gauges from one look at the database; return the names of the people whose servers are open.

    Raises
    ------
    ServiceUnavailableError
        If the database does not answer.
    """
    with factory.database.read() as connection:
        live = factory.allocations.live(connection)
        pool = factory.devices.pool(connection)
        leased = factory.allocations.leased(connection)
        samples = factory.activity.fresh_samples(connection, factory.clock())
        beats = {beat.process: beat.at for beat in factory.heartbeats.all(connection)}
    opened = live.open
    states = Counter(allocation.state for allocation in (*opened, *live.queued))
    for state in (AllocationState.QUEUED, AllocationState.HELD, AllocationState.ACTIVE):
        metrics.ALLOCATIONS.labels(state.value).set(states[state])
    gpus: Counter[tuple[str, str]] = Counter()
    for device in pool.devices if pool else ():
        metrics.know_gpu_type(device.gpu_type)
        gpus[device.gpu_type, _state_of(device, is_leased=device.uuid in leased)] += 1
    for gpu_type in {gpu_type for gpu_type, _ in gpus}:
        for name in metrics.GPU_STATES:
            metrics.GPUS.labels(gpu_type, name).set(gpus[gpu_type, name])
    _show_activity(() if pool is None or pool.is_cluster else pool.devices, samples)
    now = factory.clock()
    for process in metrics.PROCESSES:
        seconds = (now - beats[process]).total_seconds() if process in beats else nan
        metrics.HEARTBEAT_AGE_SECONDS.labels(process).set(seconds)
    return frozenset(allocation.user_name for allocation in opened)


def _state_of(device: GpuDevice, *, is_leased: bool) -> str:
    if is_leased:
        return "held"
    return "unhealthy" if not device.is_healthy else "drained" if device.is_drained else "free"


def _show_activity(devices: Iterable[GpuDevice], samples: Mapping[str, GpuSample]) -> None:
    for device in devices:
        sample, labels = samples.get(device.uuid), (str(device.index), device.gpu_type)
        metrics.GPU_UTILISATION_PERCENT.labels(*labels).set(sample.utilisation_percent if sample else nan)
        metrics.GPU_MEMORY_USED_BYTES.labels(*labels).set(sample.memory_bytes if sample else nan)
