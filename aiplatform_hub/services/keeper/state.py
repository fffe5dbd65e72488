"""The platform's state as gauges."""

from __future__ import annotations

from collections import Counter
from math import nan

from aiplatform_hub import metrics
from aiplatform_hub.domain.allocations import AllocationState
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
        beats = {beat.process: beat.at for beat in factory.heartbeats.all(connection)}
    opened = live.open
    states = Counter(allocation.state for allocation in (*opened, *live.queued))
    for state in (AllocationState.QUEUED, AllocationState.HELD, AllocationState.ACTIVE):
        metrics.ALLOCATIONS.labels(state.value).set(states[state])
    gpus: Counter[tuple[str, str]] = Counter()
    for device in pool.devices if pool else ():
        metrics.know_gpu_type(device.gpu_type)
        state_name = "held" if device.uuid in leased else "free" if device.is_healthy else "unhealthy"
        gpus[device.gpu_type, state_name] += 1
    for gpu_type in {gpu_type for gpu_type, _ in gpus}:
        for name in metrics.GPU_STATES:
            metrics.GPUS.labels(gpu_type, name).set(gpus[gpu_type, name])
    now = factory.clock()
    for process in metrics.PROCESSES:
        seconds = (now - beats[process]).total_seconds() if process in beats else nan
        metrics.HEARTBEAT_AGE_SECONDS.labels(process).set(seconds)
    return frozenset(allocation.user_name for allocation in opened)
