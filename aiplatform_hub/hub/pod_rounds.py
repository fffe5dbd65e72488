"""One look at every running pod, in place of a timer and a task for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from tornado.ioloop import PeriodicCallback


class Watched(Protocol):
    """A spawner whose server runs."""

    def seems_to_run(self) -> bool:
        """Whether what the hub knows already says so, without asking anybody."""

    async def poll_and_notify(self) -> Any:
        """Ask, and tell the hub if the server has ended."""


class PodRounds:
    """Looks at all that is watched, every so many seconds; only of whoever does not seem to run more is asked.

    Parameters
    ----------
    seconds
        Time between two looks.
    """

    def __init__(self, seconds: float) -> None:
        self._watched: dict[Watched, None] = {}
        self._asked: dict[Watched, asyncio.Future[Any]] = {}
        self._timer = PeriodicCallback(self.look, seconds * 1000)

    @property
    def is_looking(self) -> bool:
        """Whether anybody is watched."""
        return bool(self._timer.is_running())

    def watch(self, spawner: Watched) -> Watching:
        """Look at a spawner from now on, until what is returned is told to stop."""
        self._watched[spawner] = None
        if not self.is_looking:
            self._timer.start()
        return Watching(lambda: self._leave(spawner))

    def look(self) -> None:
        """Ask those that do not seem to run; who is still being asked is not asked twice."""
        for spawner in [one for one in self._watched if one not in self._asked and not one.seems_to_run()]:
            asking = self._asked[spawner] = asyncio.ensure_future(self._ask(spawner))
            asking.add_done_callback(partial(self._answered, spawner))

    async def _ask(self, spawner: Watched) -> None:
        if spawner in self._watched:  # nobody has stopped it since
            await spawner.poll_and_notify()

    def _answered(self, spawner: Watched, _: object) -> None:
        self._asked.pop(spawner, None)

    def _leave(self, spawner: Watched) -> None:
        self._watched.pop(spawner, None)
        if not self._watched:
            self._timer.stop()


class Watching:
    """What the hub stops where it would stop a timer."""

    __slots__ = ("stop",)

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop


_rounds: dict[tuple[asyncio.AbstractEventLoop, float], PodRounds] = {}


def rounds_every(seconds: float) -> PodRounds:
    """Return this event loop's rounds of so many seconds, made when they are first asked for."""
    key = asyncio.get_running_loop(), seconds
    if key not in _rounds:
        _rounds[key] = PodRounds(seconds)
    return _rounds[key]
