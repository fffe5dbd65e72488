"""What every route for admins shares."""

from __future__ import annotations

import re

from aiplatform_hub.services.platform.auth import READ
from aiplatform_hub.services.platform.base import ApiHandler, insufficient_scope
from aiplatform_hub.services.platform.bodies import invalid
from aiplatform_hub.services.platform.routes import Parameter

ACT = "admin:servers"
"""What an admin's token has and nobody else's; the owner must be an admin too."""
MAX_LIMIT = 200
DEFAULT_LIMIT = 50


def page_parameters(*, cursor: str) -> tuple[Parameter, ...]:
    """Return the parameters of a paged list."""
    return (
        Parameter("limit", "Most items of a page", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        Parameter("cursor", cursor, {"type": "string"}),
    )


class AdminApiHandler(ApiHandler):
    """A resource for admins alone."""

    def check_reads(self) -> None:
        """Refuse who is no admin, or whose token may not read everybody's sessions.

        Raises
        ------
        InsufficientScopeError
            Naming what only admins have.
        """
        if not (self.principal.is_admin and self.principal.holds(READ)):
            raise insufficient_scope(ACT)

    def check_acts(self) -> None:
        """Refuse who is no admin, or whose token may not act for everybody.

        Raises
        ------
        InsufficientScopeError
            Naming what only admins have.
        """
        if not (self.principal.is_admin and self.principal.holds(ACT)):
            raise insufficient_scope(ACT)

    def number(self, name: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        """Return a whole number of the query.

        Raises
        ------
        InvalidOptionError
            If it is none, or not between the bounds.
        """
        text = self.get_query_argument(name, str(default))
        if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < least or (most is not None and int(text) > most):
            raise invalid(name, f"{name} must be a whole number from {least}" + (f" to {most}." if most is not None else " on."))
        return int(text)
