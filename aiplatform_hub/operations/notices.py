"""What people are told: stored once each, shown, dismissed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.notices import Notice, NoticeKind, Subject, Words, is_current, words
from aiplatform_hub.domain.showback import showback_words
from aiplatform_hub.domain.units import isoformat
from aiplatform_hub.errors import NotFoundError
from aiplatform_hub.storage.database import Connection, Database
from aiplatform_hub.storage.notifications import Marks, NotificationStore

INBOX = 20
"""Most notices that a page shows."""


@dataclass(frozen=True, slots=True)
class Told:
    """A notice with its words."""

    notice: Notice
    words: Words
    is_current: bool
    """Whether pages still show it."""

    @property
    def until(self) -> datetime | None:
        """When what it announces happens."""
        return until_of(self.notice)


class Notices:
    """Tells people things. Every method but :meth:`tell` is one transaction."""

    def __init__(
        self, *, database: Database, notifications: NotificationStore, catalog: Catalog, channels: Sequence[str], clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._notifications = notifications
        self._catalog = catalog
        self._channels = tuple(channels)
        self._clock = clock

    def tell(  # noqa: PLR0913  keyword-only
        self,
        connection: Connection,
        *,
        key: str,
        user_name: str,
        allocation_id: UUID | None,
        kind: NoticeKind,
        detail: Mapping[str, Any],
        at: datetime,
        only: Collection[str] | None = None,
    ) -> bool:
        """Tell a person something, in the caller's transaction and once for each key; False when it was told before.

        Parameters
        ----------
        detail
            As :meth:`about` gives it.
        only
            Channels that pass it on, of those that there are; None for all.
        """
        channels = self._channels if only is None else tuple(name for name in self._channels if name in only)
        notice = Notice(id=0, key=key, at=at, user_name=user_name, allocation_id=allocation_id, kind=kind, detail=detail)
        return self._notifications.tell(connection, notice, channels)

    def about(self, allocation: Allocation, *, until: datetime | None = None, cause: str = "", is_back: bool = False) -> dict[str, Any]:
        """Return the detail of a notice about an allocation, as JSON: names as they are now, so that it reads the same later."""
        request = allocation.request
        template = self._catalog.environment_templates.get(request.environment_template)
        kind = self._catalog.gpu_types.get(request.gpu_type or "")
        return {
            "title": template.display_name if template else request.environment_template,
            "server_name": allocation.server_name,
            "gpus": _gpus(request.gpus, kind.display_name if kind else request.gpu_type),
            "word": str(allocation.id)[:8],
            "until": None if until is None else isoformat(until),
            "cause": cause,
            "is_back": is_back,
            "message": allocation.stop_message or "",
        }

    def of(self, user_name: str, *, limit: int, before: int | None = None) -> tuple[Told, ...]:
        """Return a person's notices, the newest first."""
        with self._database.read() as connection:
            found = self._notifications.of(connection, user_name, limit=limit, before=before)
            return self._told(connection, found)

    def inbox(self, user_name: str) -> tuple[Told, ...]:
        """Return what pages show a person, the newest first."""
        with self._database.read() as connection:
            return self._inbox(connection, user_name)

    def beside(self, user_name: str) -> tuple[tuple[Told, ...], Marks]:
        """Return the same, with the newest notice and whether the person waits for a start: what stands beside every page."""
        with self._database.read() as connection:
            return self._inbox(connection, user_name), self._notifications.marks(connection, user_name)

    def _inbox(self, connection: Connection, user_name: str) -> tuple[Told, ...]:
        found = self._notifications.shown(connection, user_name, most=2 * INBOX)
        return tuple(told for told in self._told(connection, found) if told.is_current)[:INBOX]

    def dismiss(self, notice_id: int, *, by: str) -> Told:
        """Note that somebody has seen a notice of theirs; may be repeated.

        Raises
        ------
        NotFoundError
            If there is none, or it is somebody else's.
        """
        with self._database.write() as connection:
            self._notifications.dismiss(connection, notice_id, by, self._clock())
            found = self._notifications.find(connection, notice_id)
            if found is None or found.user_name != by:
                raise NotFoundError("There is no such notification, or it is not yours.")
            return self._told(connection, (found,))[0]

    def _told(self, connection: Connection, notices: Collection[Notice]) -> tuple[Told, ...]:
        subjects, now = self._notifications.subjects(connection, notices), self._clock()
        return tuple(Told(each, words_of(each), is_current(each, _subject(each, subjects), now)) for each in notices)


def words_of(notice: Notice) -> Words:
    """Return a stored notice in words."""
    if notice.kind is NoticeKind.SHOWBACK:
        return showback_words(notice.detail)
    detail = notice.detail
    about = Subject(
        title=detail["title"],
        server_name=detail["server_name"],
        gpus=detail["gpus"],
        word=detail["word"],
        until=until_of(notice),
        cause=detail["cause"],
        is_back=detail["is_back"],
        message=detail.get("message", ""),
    )
    return words(notice.kind, about)


def until_of(notice: Notice) -> datetime | None:
    """Return the time that a notice names; None if it names none."""
    until = notice.detail.get("until")
    return None if until is None else datetime.fromisoformat(until)


def _subject(notice: Notice, subjects: Mapping[UUID, Allocation]) -> Allocation | None:
    return None if notice.allocation_id is None else subjects.get(notice.allocation_id)


def _gpus(number: int, gpu_type: str | None) -> str:
    if not number:
        return ""
    return f"{number} × {gpu_type}" if gpu_type else f"{number} GPU{'' if number == 1 else 's'}"
