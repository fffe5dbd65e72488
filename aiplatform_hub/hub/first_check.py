"""The check of each server that a hub makes when it starts, made to wait for those that are merely busy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from jupyterhub.utils import AnyTimeoutError

LOOK_SECONDS = 0.5
"""Time between two looks whether the session still runs."""


def check_while_it_runs(server: Any, has_ended: Callable[[], Awaitable[bool]]) -> None:
    """Let the hub's next check of a server wait for as long as its session runs.

    The hub would otherwise end whoever does not answer within ``http_timeout``. Each server is asked once: by the hub's own check, as often as
    it takes.

    Parameters
    ----------
    server
        The hub's object of the server; its ``wait_up`` is replaced until it has been called.
    has_ended
        Says whether waiting is of no use any more; the check fails then.
    """
    wait_up = server.wait_up

    async def patiently(**options: Any) -> Any:
        vars(server).pop("wait_up", None)
        while True:
            try:
                return await _unless_ended(wait_up(**options), has_ended)
            except AnyTimeoutError:
                if await has_ended():
                    raise

    server.wait_up = patiently


async def _unless_ended(check: Awaitable[Any], has_ended: Callable[[], Awaitable[bool]]) -> Any:
    checking = asyncio.ensure_future(check)
    try:
        while not (await asyncio.wait({checking}, timeout=LOOK_SECONDS))[0]:
            if await has_ended():
                raise TimeoutError
        return checking.result()
    finally:
        checking.cancel()
