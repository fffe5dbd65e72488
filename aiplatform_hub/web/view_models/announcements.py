"""What admins tell everybody, as banners on every page and as Admin's own list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiplatform_hub.domain.announcements import Announcement, Level, is_shown
from aiplatform_hub.web.view_models.formats import Stamp, stamp
from aiplatform_hub.web.view_models.paths import Paths
from aiplatform_hub.web.view_models.problem import Problem

LEVELS = {Level.INFO: "For your information", Level.WARNING: "Warning", Level.CRITICAL: "Critical"}
"""What a person calls them."""
_TONES = {Level.INFO: "", Level.WARNING: "warn", Level.CRITICAL: "bad"}
_USUAL_SPAN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Banner:
    """One announcement above a page."""

    id: int
    level: str
    label: str
    """Says in words what its colour says."""
    text: str
    start: Stamp | None
    """When a maintenance window begins; None for what only is told."""
    end: Stamp | None
    is_on: bool
    """Whether the window has begun."""


def banners(shown: Iterable[Announcement], dismissed: frozenset[int], now: datetime) -> tuple[Banner, ...]:
    """Return what stands above every page of a reader who has dismissed some."""
    return tuple(_banner(one, now) for one in shown if one.id not in dismissed)


def _banner(one: Announcement, now: datetime) -> Banner:
    label = "Maintenance" if one.is_maintenance else LEVELS[one.level]
    start, end = (stamp(one.starts_at), stamp(one.ends_at)) if one.is_maintenance else (None, None)
    return Banner(one.id, one.level.value, label, one.text, start, end, is_on=one.starts_at <= now)


def dismissed_ids(cookie: str) -> frozenset[int]:
    """Return the ids in a browser's cookie; whatever else it holds counts as nothing."""
    return frozenset(int(part) for part in cookie.split(".") if part.isascii() and part.isdigit() and len(part) <= 18)  # noqa: PLR2004 - 64 bits


def cookie_of(dismissed: frozenset[int], shown: Iterable[Announcement]) -> str:
    """Return the cookie of what is dismissed, without what nobody sees any more."""
    return ".".join(str(one.id) for one in shown if one.id in dismissed)


@dataclass(frozen=True, slots=True)
class AnnouncementRow:
    """One announcement in Admin's list."""

    id: int
    text: str
    level: str
    tone: str
    state: str
    """``Shown now``, ``Shown from`` its time, ``Over`` or ``Withdrawn``."""
    is_live: bool
    """Whether everybody sees it now."""
    start: Stamp | None
    end: Stamp | None
    is_maintenance: bool
    by: str
    can_withdraw: bool
    can_restore: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A level to choose."""

    value: str
    label: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class AnnouncementsPage:
    """Admin's page of announcements."""

    rows: tuple[AnnouncementRow, ...]
    levels: tuple[Choice, ...]
    text: str
    starts_at: str
    """For a field of date and time: UTC, to the minute; empty means now."""
    ends_at: str
    is_maintenance: bool
    problem: Problem | None = None
    withdrawn: AnnouncementRow | None = None
    """What has just been withdrawn, to offer it back."""
    paths: Paths = field(default_factory=lambda: Paths("/"))

    @property
    def action(self) -> str:
        """Where the form is sent."""
        return self.paths.admin_announcements

    def fault(self, name: str) -> str:
        """Return what is wrong with one field."""
        return self.problem.fields.get(name, "") if self.problem else ""


def announcements_page(  # noqa: PLR0913  keyword-only
    latest: Sequence[Announcement], fields: Mapping[str, str], *, now: datetime, paths: Paths, problem: Problem | None = None, withdrawn_id: str = ""
) -> AnnouncementsPage:
    """Return the page with what was typed so far, which a refusal keeps."""
    rows = tuple(announcement_row(one, now) for one in latest)
    chosen = fields.get("level", Level.INFO.value)
    return AnnouncementsPage(
        rows=rows,
        levels=tuple(Choice(level.value, label, level.value == chosen) for level, label in LEVELS.items()),
        text=fields.get("text", ""),
        starts_at=fields.get("starts_at", ""),
        ends_at=fields.get("ends_at", f"{(now + _USUAL_SPAN).astimezone(UTC):%Y-%m-%dT%H:%M}"),
        is_maintenance="is_maintenance" in fields,
        problem=problem,
        withdrawn=next((row for row in rows if str(row.id) == withdrawn_id and row.can_restore), None),
        paths=paths,
    )


def announcement_row(one: Announcement, now: datetime) -> AnnouncementRow:
    """Return one announcement as Admin sees it."""
    is_over, is_withdrawn, is_live = one.ends_at <= now, one.withdrawn_at is not None, is_shown(one, now)
    state = "Withdrawn" if is_withdrawn else "Over" if is_over else "Shown now" if is_live else "Not shown yet"
    return AnnouncementRow(
        id=one.id,
        text=one.text,
        level="Maintenance" if one.is_maintenance and one.level is Level.INFO else LEVELS[one.level],
        tone=_TONES[one.level],
        state=state,
        is_live=is_live,
        start=stamp(one.starts_at),
        end=stamp(one.ends_at),
        is_maintenance=one.is_maintenance,
        by=one.created_by,
        can_withdraw=not (is_over or is_withdrawn),
        can_restore=is_withdrawn and not is_over,
    )


@dataclass(frozen=True, slots=True)
class MaintenanceLine:
    """A maintenance window that a session reaches into."""

    start: Stamp | None
    end: Stamp | None
    text: str


def maintenance_lines(windows: Iterable[Announcement]) -> tuple[MaintenanceLine, ...]:
    """Return the windows that a session reaches into, for its card or before its start."""
    return tuple(MaintenanceLine(stamp(one.starts_at), stamp(one.ends_at), one.text) for one in windows)
