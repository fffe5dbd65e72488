"""What there is of GPUs by type, and what of the catalogue a cluster can never give. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import SIMULATED_GPU_TYPE, Catalog, EnvironmentTemplate, NodePool
from aiplatform_hub.domain.limits import Capacity
from aiplatform_hub.domain.node_shapes import Need, oversizes
from aiplatform_hub.domain.units import GIB


@dataclass(frozen=True, slots=True)
class GpuTypeCapacity:
    """GPUs of one type; ``total`` is the sum of ``free``, ``held``, ``unhealthy`` and ``drained``."""

    name: str
    total: int
    free: int
    held: int
    unhealthy: int
    """Broken or gone, and not held."""
    simulated: bool
    startable: int = 0
    """Free GPUs of nodes that an autoscaler may still start; not in ``total``."""
    minutes_to_start: int | None = None
    """What the quickest such node usually takes, in minutes; None where none may start."""
    drained: int = 0
    """Healthy, not held, and not given out: an admin lets nothing start on them."""


def count_gpus(devices: Sequence[GpuDevice], held: Collection[str], node_pools: Mapping[str, NodePool]) -> tuple[GpuTypeCapacity, ...]:
    """Return how many GPUs of each type there are, in order of the types' names.

    Parameters
    ----------
    devices
        What counts of a machine or cluster.
    held
        Ids of those in an open lease.
    node_pools
        The catalogue's.
    """
    names = sorted({device.gpu_type for device in devices})
    return tuple(_count(name, [device for device in devices if device.gpu_type == name], held, node_pools) for name in names)


def _count(name: str, devices: Sequence[GpuDevice], held: Collection[str], node_pools: Mapping[str, NodePool]) -> GpuTypeCapacity:
    startable = [device for device in devices if device.node_pool is not None and device.uuid not in held]
    total = len(devices) - len(startable)
    taken = sum(device.uuid in held for device in devices)
    drained = sum(device.is_healthy and device.is_drained and device.uuid not in held for device in devices)
    free = sum(device.is_healthy and device.uuid not in held for device in devices) - len(startable) - drained
    minutes = [pool.minutes_to_start for device in startable if (pool := node_pools.get(device.node_pool or "")) is not None]
    return GpuTypeCapacity(
        name=name,
        total=total,
        free=free,
        held=taken,
        unhealthy=total - free - taken - drained,
        simulated=any(device.is_simulated for device in devices),
        startable=len(startable),
        minutes_to_start=min(minutes, default=None),
        drained=drained,
    )


def most_at_once(capacity: Capacity) -> int | None:
    """Return how many GPUs one session could ever have in a cluster, of whatever type; None on a single machine."""
    if not capacity.is_cluster:
        return None
    return max((capacity.largest(name) for name in {state.device.gpu_type for state in capacity.devices}), default=0)


def impossible_templates(catalog: Catalog, capacity: Capacity) -> dict[str, str]:
    """Return a sentence by name of each environment template that no node of the cluster could ever start; none on a single machine."""
    if not capacity.is_cluster:
        return {}
    found = {name: _lacking(t, _Asked.least(t), catalog, capacity) for name, t in catalog.environment_templates.items()}
    return {name: sentence for name, sentence in found.items() if sentence}


def catalog_warnings(catalog: Catalog, capacity: Capacity) -> tuple[str, ...]:
    """Return a sentence for everything of the catalogue that asks for more than any node of the cluster has."""
    if not capacity.is_cluster:
        return ()
    never = impossible_templates(catalog, capacity)
    warnings = [f"Environment template {name} can never start: {sentence}" for name, sentence in never.items()]
    others = [template for name, template in catalog.environment_templates.items() if name not in never]
    usual = {t.name: sentence for t in others if (sentence := _lacking(t, _Asked.usual(t), catalog, capacity))}
    warnings += [f"Environment template {name} can never start with its usual choice: {sentence}" for name, sentence in usual.items()]
    for template in others:
        if template.name not in usual:
            warnings += _offers(template, catalog, capacity)
    return tuple(warnings)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a session of an environment template may ask for."""

    gpus: int
    memory_gib: int
    cpu_cores: int

    @classmethod
    def least(cls, template: EnvironmentTemplate) -> _Asked:
        return cls(template.gpus.minimum, template.memory_gib.minimum, template.cpu_cores.minimum)

    @classmethod
    def usual(cls, template: EnvironmentTemplate) -> _Asked:
        return cls(template.gpus.default, template.memory_gib.default, template.cpu_cores.default)


def _offers(template: EnvironmentTemplate, catalog: Catalog, capacity: Capacity) -> Iterator[str]:
    """Yield what is wrong with the most that a template offers, of each thing alone."""
    least = _Asked.least(template)
    offered = (
        (f"{template.gpus.maximum} GPUs", replace(least, gpus=template.gpus.maximum)),
        (f"{template.memory_gib.maximum} GiB of memory", replace(least, memory_gib=template.memory_gib.maximum)),
        (f"{template.cpu_cores.maximum} CPU cores", replace(least, cpu_cores=template.cpu_cores.maximum)),
    )
    for what, asked in offered:
        sentence = _lacking(template, asked, catalog, capacity)
        if sentence:
            yield f"Environment template {template.name} offers up to {what}: {sentence}"


def _lacking(template: EnvironmentTemplate, asked: _Asked, catalog: Catalog, capacity: Capacity) -> str:
    """Return the sentence that says what no node has; empty if one could give it."""
    if asked.gpus > _largest(template, capacity):
        return _sentence(template, asked.gpus, catalog, capacity)
    types = [name for name in _types(template, capacity) if capacity.largest(name) >= asked.gpus] if asked.gpus else [None]
    needs = [_need(asked, name, catalog) for name in types]
    found = [oversizes(need, capacity.shapes) for need in needs]
    return found[0][0].sentence if all(found) else ""


def _need(asked: _Asked, gpu_type: str | None, catalog: Catalog) -> Need:
    kind = catalog.gpu_types.get(gpu_type or "")
    return Need(asked.memory_gib * GIB, asked.cpu_cores, gpu_type, asked.gpus, kind.display_name if kind else "")


def _types(template: EnvironmentTemplate, capacity: Capacity) -> list[str]:
    present = sorted({state.device.gpu_type for state in capacity.devices})
    return [name for name in template.gpu_types or present if name != SIMULATED_GPU_TYPE]


def _largest(template: EnvironmentTemplate, capacity: Capacity) -> int:
    return max((capacity.largest(name) for name in _types(template, capacity)), default=0)


def _sentence(template: EnvironmentTemplate, gpus: int, catalog: Catalog, capacity: Capacity) -> str:
    """Return the sentence that says how many GPUs no node has."""
    labels = [catalog.gpu_types[name].display_name for name in template.gpu_types if name in catalog.gpu_types]
    what = f"{gpus} × {' or '.join(labels)}" if labels else f"{gpus} {'GPU' if gpus == 1 else 'GPUs of one type'}"
    largest = _largest(template, capacity)
    return f"No node has {what}; the largest has {largest}." if largest else f"No node has {what}."
