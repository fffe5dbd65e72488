"""What the keeper repeats, and what of it differs between a machine and a cluster."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Tick:
    """One repeated task."""

    name: str
    """As in :data:`aiplatform_hub.metrics.TICKS`."""
    seconds: float
    """Time from the end of one run to the start of the next."""
    run: Callable[[], Coroutine[Any, Any, None]]
    is_slow: bool = False
    """Whether the others must not wait for it at the start."""


class Duties(Protocol):
    """What a keeper does at its place alone."""

    async def prepare(self) -> None:
        """Make what the tasks need; called once, before the first of them.

        Raises
        ------
        WrongClusterError
            If the database belongs to another place: nothing may be done then.
        """

    def ticks(self, people: Callable[[], Coroutine[Any, Any, frozenset[str]]]) -> tuple[Tick, ...]:
        """Return the tasks of this place.

        Parameters
        ----------
        people
            Gives the names of those whose servers are or were open.
        """

    async def misplaced(self) -> None:
        """Wait for as long as the database belongs to this place.

        Raises
        ------
        WrongClusterError
            As soon as it is seen that this is another cluster.
        """

    async def end(self) -> None:
        """Close what was opened."""
