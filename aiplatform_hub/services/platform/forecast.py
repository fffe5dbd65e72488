"""The twin's forecast for the policy in force: worked out beside the service, when an admin asks."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aiplatform_hub.config import Settings, arguments_of

LONGEST_SECONDS = 300.0
"""A forecast that takes longer is given up."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of the forecast."""

    is_running: bool = False
    made_at: datetime | None = None
    """Aware UTC; None before the first."""
    trouble: str = ""
    """Why the last one came to nothing; empty if it did not."""
    policy_version: int = 0
    sessions: int = 0
    days: int = 0
    gpus: int = 0
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Figures as ``aiplatform simulate --json`` has them, by ``in_force`` and ``shipped``; none without past sessions."""


class Forecaster:
    """Runs one forecast at a time."""

    def __init__(self, *, settings: Settings, clock: Callable[[], datetime], longest_seconds: float = LONGEST_SECONDS) -> None:
        self._settings = settings
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._work: asyncio.Task[None] | None = None
        self.now = Forecast()
        """What is known."""

    def start(self) -> Forecast:
        """Begin a forecast, unless one is under way."""
        if not self.now.is_running:
            self.now = replace(self.now, is_running=True, trouble="")
            self._work = asyncio.create_task(self._run())
        return self.now

    def close(self) -> None:
        """Give up what is under way."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        command = (sys.executable, "-m", "aiplatform_hub.services.platform.twin_run", *arguments_of(self._settings))
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            output, errors = await asyncio.wait_for(process.communicate(), self._longest_seconds)
        except BaseException as error:
            process.kill()
            if not isinstance(error, TimeoutError):
                raise
            self._fail(f"It took longer than {self._longest_seconds:.0f} seconds.")
            return
        if process.returncode:
            _LOG.error("the twin's forecast failed: %s", errors.decode(errors="replace")[-2000:])
            self._fail("It failed; the platform's log says why.")
            return
        self.now = Forecast(made_at=self._clock(), **json.loads(output))

    def _fail(self, trouble: str) -> None:
        self.now = replace(self.now, is_running=False, trouble=trouble)
