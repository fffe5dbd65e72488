"""Who is asking, and what their token allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.scopes import has_scope, parse_scopes

READ = "read:servers"
START = "start:servers"
STOP = "delete:servers"
BILLING = "custom:aiplatform:billing:read"
"""To read every invoice, report and budget, and the sessions behind a line."""
DISPUTE = "custom:aiplatform:billing:dispute"
"""To dispute lines of invoices; implies :data:`BILLING`."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated owner of the token or cookie of a request."""

    name: str
    kind: str
    """``user`` or ``service``."""
    is_admin: bool
    groups: frozenset[str]
    scopes: frozenset[str]
    """Expanded scopes of the token, as the hub reports them."""
    token: str = field(repr=False)
    is_cookie: bool = False
    """True when a browser's cookie, not a header, carried the token."""

    @property
    def is_user(self) -> bool:
        """Whether it is a person; services own no servers."""
        return self.kind == "user"

    def holds(self, scope: str) -> bool:
        """Return whether the token has the scope for everybody."""
        return bool(has_scope(scope, self.scopes))

    def may(self, scope: str, user_name: str, *, server_name: str | None = None, groups: frozenset[str] = frozenset()) -> bool:
        """Return whether the token has the scope for one person, or for one server of theirs.

        ``groups`` are the groups of that person, for scopes with a ``!group=`` filter.
        """
        if not user_name or "/" in user_name:
            return self.holds(scope)  # no user is called so, and no filter may be read as one
        if has_scope(f"{scope}!user={user_name}", self.scopes):
            return True
        if server_name is not None and has_scope(f"{scope}!server={user_name}/{server_name}", self.scopes):
            return True
        filters = parse_scopes(self.scopes).get(scope, {})
        return bool(groups & set(filters.get("group", ()))) if isinstance(filters, Mapping) else False

    def has_any(self, scope: str) -> bool:
        """Return whether the token has the scope for anybody or anything at all."""
        return bool(has_scope(scope, self.scopes, post_filter=True))

    @property
    def sees_everybody(self) -> bool:
        """Whether it may read all people's things at once: an admin, or a service, with the unfiltered scope."""
        return self.holds(READ) and (self.is_admin or not self.is_user)

    @property
    def reads_billing(self) -> bool:
        """Whether it may read everybody's invoices, reports and budgets: an admin, or who has the scope for it."""
        return self.holds(BILLING) or (self.is_admin and self.holds(READ))

    @property
    def disputes(self) -> bool:
        """Whether it may dispute lines of invoices."""
        return self.is_user and self.holds(DISPUTE)


def principal_of(model: Mapping[str, Any], token: str, *, is_cookie: bool) -> Principal:
    """Return the principal of the hub's answer to ``GET /hub/api/user``."""
    return Principal(
        name=model["name"],
        kind=model.get("kind", "user"),
        is_admin=bool(model.get("admin", False)),
        groups=frozenset(model.get("groups", ())),
        scopes=frozenset(model.get("scopes", ())),
        token=token,
        is_cookie=is_cookie,
    )
