"""Blocking work beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """A few threads for the database, so that the event loop never waits for it."""

    def __init__(self, *, count: int = 8) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="platform")

    async def run(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what the function returns, run in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let running work end and take no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)
