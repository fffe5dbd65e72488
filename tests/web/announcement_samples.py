"""Pages with announcements, for golden pages."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from aiplatform_hub.domain.announcements import Announcement, Level
from aiplatform_hub.errors import InvalidOptionError, Reason
from aiplatform_hub.web.rendering import render
from aiplatform_hub.web.view_models.announcements import announcements_page, banners
from aiplatform_hub.web.view_models.problem import problem_of
from tests.web.samples import HOSTILE, NOW, PATHS, frame

HOUR = timedelta(hours=1)
INFO = Announcement(id=1, text=HOSTILE, level=Level.INFO, starts_at=NOW - HOUR, ends_at=NOW + HOUR, created_by=HOSTILE, created_at=NOW - HOUR)
WINDOW = replace(INFO, id=2, text="The cooling is repaired.", level=Level.WARNING, is_maintenance=True, starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
CRITICAL = replace(INFO, id=3, text="The disk is full.", level=Level.CRITICAL)
WITHDRAWN = replace(INFO, id=4, withdrawn_at=NOW)
OVER = replace(INFO, id=5, ends_at=NOW - HOUR / 2)


def admin_announcements() -> str:
    refused = problem_of(InvalidOptionError("Bad.", (Reason("invalid_option", "It must end after it begins.", field="ends_at"),)))
    page = announcements_page(
        (INFO, WINDOW, CRITICAL, WITHDRAWN, OVER), {"text": HOSTILE, "level": "critical"}, now=NOW, paths=PATHS, problem=refused, withdrawn_id="4"
    )
    shown = replace(frame("admin", is_admin=True), announcements=banners((CRITICAL, WINDOW, INFO), frozenset({9}), NOW))
    return render("admin_announcements.html", shown, page=page, tabs=())
