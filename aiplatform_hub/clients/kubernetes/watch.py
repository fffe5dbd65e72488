"""An up-to-date copy of one kind of resource: listed once, then watched.

A watch that ends goes on from the last version that was seen. Only a version that the API
server has forgotten (410) costs another list, whatever the number of users.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiplatform_hub.clients.kubernetes.access import ClusterUnavailableError, GoneError, KubernetesApi, MissingRightError
from aiplatform_hub.errors import AIPlatformError

PAGE = 500
"""Most objects in one answer of a list."""
WATCH_SECONDS = 20
"""How long one watch goes on; its end proves that the connection lives."""
SILENCE_SECONDS = 25
"""Longest time without a byte of a watch: a half-open connection is noticed after it."""
FRESH_SECONDS = 45
"""How old the last word of the API server may be until the copy counts as unknown."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
REFUSED_PAUSE_SECONDS = 60.0
"""Time between two tries of what the cluster does not allow: rules may be added meanwhile."""
_LOG = logging.getLogger(__name__)

Json = Mapping[str, Any]


@dataclass(slots=True)
class Counts:
    """What was asked of the API server."""

    lists: int = 0
    watches: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Resource:
    """What is watched."""

    path: str
    """Of the list in the API, for example ``/api/v1/nodes``."""
    label_selector: str = ""
    field_selector: str = ""
    keeps: Callable[[Json], bool] = field(default=lambda _: True)
    """Which objects are worth keeping; the others are forgotten at once."""

    @property
    def query(self) -> dict[str, str]:
        """Selectors as the API wants them."""
        given = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in given.items() if value}


Confirmation = Callable[[], Coroutine[Any, Any, None]]
"""Asks whether the API server is still the one that is meant; raises if it is not."""


async def nothing_to_confirm() -> None:
    """Take any API server."""


class Watch:
    """Keeps the copy while :meth:`run` runs. :meth:`items` may be called in any thread.

    Parameters
    ----------
    choices
        The first resource that the cluster allows is watched.
    before_list
        Asked before each list and after each cut; while it raises, the copy stays as it was, and counts as unknown after a while.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        *,
        api: KubernetesApi,
        choices: tuple[Resource, ...],
        before_list: Confirmation = nothing_to_confirm,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._choices = choices
        self._before_list = before_list
        self._chosen = 0
        self._clock = clock
        self._items: dict[str, Json] = {}
        self._version: str | None = None
        self._heard_at: float | None = None
        self._is_told = False
        self._refusals: set[str] = set()
        self.refusal: MissingRightError | None = None
        """Why nothing is watched, while the cluster does not allow it."""
        self.counts = Counts()
        self.has_listed = asyncio.Event()
        """Set once the first list is there, or is refused."""

    def items(self) -> dict[str, Json] | None:
        """Return the objects by their uid; None while they are not known."""
        if self._heard_at is None or self._clock() - self._heard_at > FRESH_SECONDS:
            return None
        return dict(self._items)

    async def run(self) -> None:
        """Watch until cancelled. Nothing that the API server does ends it."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._go_on()
            except GoneError:
                self._version = None  # and list again, at once
            except MissingRightError as error:
                await self._refused(error)
            except AIPlatformError as error:
                self._away(error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 - the edge of a background task
                _LOG.exception("Watching %s failed; listing it again", self._resource.path)
                self._version = None
                await asyncio.sleep(LONGEST_PAUSE_SECONDS)
            else:
                pause = FIRST_PAUSE_SECONDS

    @property
    def _resource(self) -> Resource:
        return self._choices[self._chosen]

    async def _go_on(self) -> None:
        """List if there is no version to go on from; then watch once."""
        if self._version is None or self._is_told:
            await self._before_list()
        if self._version is None:
            self._version = await self._list()
        self.counts.watches += 1
        query = {**self._resource.query, "resourceVersion": self._version, "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_SECONDS}
        async for event in self._api.watch(self._resource.path, query, silence_seconds=SILENCE_SECONDS):
            self._take(event)
        self._heard()

    async def _list(self) -> str:
        """Read everything in pages; what was known before stays until the last page is there."""
        self.counts.lists += 1
        found: dict[str, Json] = {}
        query: dict[str, Any] = {**self._resource.query, "limit": PAGE}
        while True:
            page = await self._api.get(self._resource.path, query)
            found |= {item["metadata"]["uid"]: item for item in page.get("items") or () if self._resource.keeps(item)}
            if not page["metadata"].get("continue"):
                break
            query["continue"] = page["metadata"]["continue"]
        self._items = found
        self._heard()
        self.refusal = None
        self.has_listed.set()
        return str(page["metadata"]["resourceVersion"])

    def _take(self, event: Json) -> None:
        thing = event["object"]
        self._version = thing["metadata"]["resourceVersion"]
        self._heard()
        if event["type"] == "BOOKMARK":
            return
        self.counts.events += 1
        uid = thing["metadata"]["uid"]
        if event["type"] == "DELETED" or not self._resource.keeps(thing):
            self._items.pop(uid, None)
        else:
            self._items[uid] = thing

    def _heard(self) -> None:
        self._heard_at = self._clock()
        if self._is_told:
            _LOG.warning("The cluster's API server answers again: %s", self._resource.path)
            self._is_told = False

    def _away(self, error: AIPlatformError) -> None:
        if not self._is_told:
            _LOG.warning("Watching %s was cut off; going on as soon as the API server answers: %s", self._resource.path, error)
        self._is_told = True
        if not isinstance(error, ClusterUnavailableError):
            self._version = None  # it refuses how we ask; begin anew

    async def _refused(self, error: MissingRightError) -> None:
        """Try the next choice; after the last one wait for somebody to add the rule."""
        if str(error) not in self._refusals:
            self._refusals.add(str(error))
            _LOG.warning("%s%s", error, " Until then less is watched." if self._chosen + 1 < len(self._choices) else "")
        self._version = None
        if self._chosen + 1 < len(self._choices):
            self._chosen += 1
            return
        self._chosen = 0
        self.refusal, self._heard_at = error, None
        self.has_listed.set()
        await asyncio.sleep(REFUSED_PAUSE_SECONDS)
