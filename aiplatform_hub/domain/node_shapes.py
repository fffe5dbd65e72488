"""How large the nodes of a cluster are: a session is on one node, however much all of them have together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiplatform_hub.domain.units import format_bytes, format_number


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What pods can have on one node, whoever has it now."""

    memory_bytes: int
    cpu_cores: int
    gpus: tuple[tuple[str, int], ...] = ()
    """GPU types with their number, in order of the types' names."""

    def has(self, gpu_type: str | None, gpus: int) -> bool:
        """Whether it has so many GPUs of a type."""
        return not gpus or dict(self.gpus).get(gpu_type or "", 0) >= gpus

    def contains(self, other: NodeShape) -> bool:
        """Whether whatever fits the other one fits this one too."""
        is_wide = self.memory_bytes >= other.memory_bytes and self.cpu_cores >= other.cpu_cores
        return is_wide and all(self.has(gpu_type, gpus) for gpu_type, gpus in other.gpus)


@dataclass(frozen=True, slots=True)
class Need:
    """What a session needs of one node."""

    memory_bytes: int
    cpu_cores: int
    gpu_type: str | None = None
    gpus: int = 0
    gpu_label: str = ""
    """What a sentence calls the type."""

    def fits(self, shape: NodeShape) -> bool:
        """Whether a node of this shape could ever give it."""
        return self.memory_bytes <= shape.memory_bytes and self.cpu_cores <= shape.cpu_cores and shape.has(self.gpu_type, self.gpus)


@dataclass(frozen=True, slots=True)
class Oversize:
    """What of a need no node has."""

    dimension: str
    """``memory_bytes`` or ``cpu_cores``."""
    wanted: int
    largest: int
    """What the largest node that has the rest has of it, in the dimension's unit."""
    beside: tuple[str, ...] = field(default=())
    """The rest, where larger nodes lack it."""
    is_of_gpus: bool = False
    """Whether it would fit a node without the GPUs."""

    @property
    def sentence(self) -> str:
        """Say it."""
        rest = f" with {' and '.join(self.beside)}" if self.beside else ""
        return f"No node{rest} has {_amount(self.dimension, self.wanted)}; the largest has {_short(self.dimension, self.largest)}."


def widest(shapes: Iterable[NodeShape]) -> tuple[NodeShape, ...]:
    """Return the shapes that no other contains, the largest memory first: a thousand equal nodes are one."""
    kept: list[NodeShape] = []
    for shape in sorted(set(shapes), key=lambda one: (-one.memory_bytes, -one.cpu_cores, [(-gpus, name) for name, gpus in one.gpus])):
        if not any(other.contains(shape) for other in kept):
            kept = [other for other in kept if not shape.contains(other)] + [shape]
    return tuple(kept)


def oversizes(need: Need, shapes: Sequence[NodeShape]) -> tuple[Oversize, ...]:
    """Return what of a need no node could ever give, GPUs alone left out; nothing where the nodes are not known."""
    with_gpus = [shape for shape in shapes if shape.has(need.gpu_type, need.gpus)] or list(shapes)
    fitting = Need(need.memory_bytes, need.cpu_cores)
    if not shapes or any(fitting.fits(shape) for shape in with_gpus):
        return ()
    return tuple(_oversizes(need, with_gpus, shapes, is_of_gpus=any(fitting.fits(shape) for shape in shapes)))


def _oversizes(need: Need, with_gpus: Sequence[NodeShape], shapes: Sequence[NodeShape], *, is_of_gpus: bool) -> Iterator[Oversize]:
    label = f"{need.gpus} × {need.gpu_label or need.gpu_type}"
    memory, cores = (max(values) for values in zip(*((one.memory_bytes, one.cpu_cores) for one in with_gpus), strict=True))
    if need.memory_bytes > memory:
        beside = (label,) if any(one.memory_bytes > memory for one in shapes) else ()
        yield Oversize("memory_bytes", need.memory_bytes, memory, beside, is_of_gpus)
    if need.cpu_cores > cores:
        beside = (label,) if any(one.cpu_cores > cores for one in shapes) else ()
        yield Oversize("cpu_cores", need.cpu_cores, cores, beside, is_of_gpus)
    if need.memory_bytes <= memory and need.cpu_cores <= cores:  # each alone would fit
        left = max(one.memory_bytes for one in with_gpus if one.cpu_cores >= need.cpu_cores)
        beside = (*((label,) if is_of_gpus else ()), _amount("cpu_cores", need.cpu_cores))
        yield Oversize("memory_bytes", need.memory_bytes, left, beside, is_of_gpus)


def values_of(shapes: Iterable[NodeShape]) -> list[list[Any]]:
    """Return shapes as JSON values: memory in bytes, cores, GPUs by type."""
    return [[shape.memory_bytes, shape.cpu_cores, dict(shape.gpus)] for shape in shapes]


def shapes_of(values: Iterable[Sequence[Any]]) -> tuple[NodeShape, ...]:
    """Return the shapes that JSON values state."""
    return tuple(NodeShape(memory_bytes, cpu_cores, tuple(sorted(gpus.items()))) for memory_bytes, cpu_cores, gpus in values)


def _amount(dimension: str, amount: int) -> str:
    if dimension == "memory_bytes":
        return f"{format_bytes(amount)} of memory"
    return f"{format_number(amount)} CPU {'core' if amount == 1 else 'cores'}"


def _short(dimension: str, amount: int) -> str:
    return format_bytes(amount) if dimension == "memory_bytes" else format_number(amount)
