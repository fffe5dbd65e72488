"""Addresses that pages link to."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Paths:
    """Addresses below the hub's base URL, which begins and ends with a slash."""

    base: str

    @property
    def hub(self) -> str:
        """The hub's own pages."""
        return f"{self.base}hub/"

    @property
    def platform(self) -> str:
        """The platform service's pages."""
        return f"{self.base}services/platform/"

    def server(self, user_name: str, server_name: str) -> str:
        """Return where a running server answers."""
        return f"{self.base}user/{quote(user_name, safe='')}/" + (f"{quote(server_name, safe='')}/" if server_name else "")

    def pending(self, user_name: str, server_name: str) -> str:
        """Return the hub's progress page of a start."""
        return f"{self.hub}spawn-pending/{quote(user_name, safe='')}" + (f"/{quote(server_name, safe='')}" if server_name else "")

    def session(self, allocation_id: UUID) -> str:
        """Return the page of one allocation."""
        return f"{self.platform}sessions/{allocation_id}"

    def stop(self, allocation_id: UUID) -> str:
        """Return the page that asks before a stop."""
        return f"{self.session(allocation_id)}/stop"

    def fewer_gpus(self, allocation_id: UUID) -> str:
        """Return where the GPU count of a queued request is changed."""
        return f"{self.session(allocation_id)}/gpus"

    def keep(self, allocation_id: UUID) -> str:
        """Return where its owner says that a queued request is still wanted."""
        return f"{self.session(allocation_id)}/keep"

    def extend(self, allocation_id: UUID) -> str:
        """Return where a running session is kept longer."""
        return f"{self.session(allocation_id)}/extend"

    def move_session(self, allocation_id: UUID) -> str:
        """Return the page on which an admin charges an ended session to another project."""
        return f"{self.session(allocation_id)}/move"

    def hide(self, allocation_id: UUID) -> str:
        """Return where an ended session is taken off its owner's list."""
        return f"{self.session(allocation_id)}/hide"

    def unhide(self, allocation_id: str) -> str:
        """Return where it is brought back."""
        return f"{self.platform}sessions/{allocation_id}/unhide"

    @property
    def home(self) -> str:
        """The reader's environments."""
        return f"{self.platform}home"

    @property
    def settings(self) -> str:
        """The reader's own settings."""
        return f"{self.platform}settings"

    @property
    def inbox(self) -> str:
        """Where what the reader is told is read again."""
        return f"{self.platform}notifications"

    def dismiss(self, notice_id: int) -> str:
        """Return where somebody says that they have seen a notice."""
        return f"{self.inbox}/{notice_id}/dismiss"

    @property
    def announcements(self) -> str:
        """Where what everybody is told is read again."""
        return f"{self.platform}announcements"

    def dismiss_announcement(self, announcement_id: int) -> str:
        """Return where a browser says that it has seen an announcement."""
        return f"{self.announcements}/{announcement_id}/dismiss"

    @property
    def admin_announcements(self) -> str:
        """Admin's page of announcements."""
        return f"{self.platform}admin/announcements"

    def home_card(self, allocation_id: UUID) -> str:
        """Return Home, at the card of one allocation."""
        return f"{self.platform}home#environment-{allocation_id}"

    def launch(self, **choices: object) -> str:
        """Return the Launch page with choices filled in."""
        given = {name: value for name, value in choices.items() if value not in {None, ""}}
        return f"{self.platform}launch" + (f"?{urlencode(given)}" if given else "")
