"""What every page has around its content."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform_hub.web.view_models.announcements import Banner
from aiplatform_hub.web.view_models.inbox import EMPTY, Inbox
from aiplatform_hub.web.view_models.paths import Paths


@dataclass(frozen=True, slots=True)
class Frame:
    """Navigation, notices and tokens of a page."""

    title: str
    paths: Paths
    user_name: str
    is_admin: bool
    active: str
    """Name of the navigation entry."""
    notices: tuple[str, ...]
    xsrf: str
    here: str
    """Path and query of this page, for refreshing what moves."""
    version: str
    """Of what pages load: changes with those files, so that browsers fetch them anew."""
    state: str = ""
    """How things stood before anything on the page was read; its stream begins with nothing while they do."""
    inbox: Inbox = EMPTY
    """What the reader is told."""
    announcements: tuple[Banner, ...] = ()
    """What admins tell everybody."""
    push_key: str = ""
    """By which browsers know this hub's pushes; empty where it sends none."""
    reads_billing: bool = False
    """Whether the reader may look at what is billed."""
