"""A launch request: what a user may ask for, and its strict validation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The person who will own the server."""

    user_id: int
    """Id in the hub's database; 0 when the hub does not know the person yet."""
    user_name: str
    groups: frozenset[str] = frozenset()
    """Names of the JupyterHub groups."""
    projects: frozenset[str] = frozenset()
    """Names of the projects to which they belong now by a membership, beside those of their groups."""


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A validated request: every default filled in, every value inside the catalogue's ranges."""

    environment_template: str
    gpus: int
    gpu_type: str | None
    """None when ``gpus`` is 0; otherwise always a known type."""
    memory_bytes: int
    cpu_cores: int
    project: str
    cost_centre: str
    max_hours: int | None = None
    """Planned length in hours, if the user gave one."""
