"""What a person is told, on every page of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from aiplatform_hub.domain.notices import Notice, NoticeKind, Part, Words
from aiplatform_hub.web.view_models.formats import Stamp, stamp
from aiplatform_hub.web.view_models.paths import Paths


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One notice."""

    id: int
    subject: str
    parts: tuple[str | Stamp, ...]
    """Its sentences, with instants as stamps."""
    url: str
    """Page of what it is about; empty if it has none."""
    is_urgent: bool
    """Whether something is lost unless its reader acts."""
    dismiss_url: str
    is_on_card: bool = False
    """Whether the session's card and page say the same, with the button that helps."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """Everything that is told now."""

    entries: tuple[InboxEntry, ...] = ()
    newest: int = 0
    """Id of the newest notice, shown or not: whatever is newer has to be read."""
    is_waiting: bool = False
    """Whether something of the reader waits, so that news may come while nobody looks at the page."""


EMPTY = Inbox()
_URGENT = frozenset({NoticeKind.TURN_CAME, NoticeKind.INTEREST_EXPIRES, NoticeKind.RELEASE_WARNING})


def inbox(told: Iterable[tuple[Notice, Words]], *, newest: int, is_waiting: bool, paths: Paths) -> Inbox:
    """Return notices as pages show them."""
    return Inbox(tuple(_entry(notice, words, paths) for notice, words in told), newest, is_waiting)


def beside(inbox: Inbox, page: str, paths: Paths) -> Inbox:
    """Return what is told above a page that says some of it itself: nothing is told twice.

    Parameters
    ----------
    page
        The page's path.
    """
    return replace(inbox, entries=tuple(entry for entry in inbox.entries if not (entry.is_on_card and page in {paths.home, entry.url})))


def _entry(notice: Notice, words: Words, paths: Paths) -> InboxEntry:
    parts: list[str | Stamp] = []
    for sentence in words.sentences:
        parts += [*([" "] if parts else []), *map(_part, sentence)]
    return InboxEntry(
        id=notice.id,
        subject=words.subject,
        parts=tuple(parts),
        url=f"{paths.platform}{notice.page}" if notice.page else "",
        is_urgent=notice.kind in _URGENT,
        dismiss_url=paths.dismiss(notice.id),
        is_on_card=notice.kind is NoticeKind.RELEASE_WARNING,
    )


def _part(part: Part) -> str | Stamp:
    return part if isinstance(part, str) else stamp(part) or ""
