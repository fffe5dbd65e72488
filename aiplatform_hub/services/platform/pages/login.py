"""The last step of a login: the hub sends the browser back with a code."""

from __future__ import annotations

from jupyterhub.services.auth import HubOAuthCallbackHandler


class LoginCallbackHandler(HubOAuthCallbackHandler):
    """Exchanges the code, with the same memory of pending logins that the pages use."""

    def initialize(self) -> None:
        """Take the service's own client: a second one would not know the code's verifier."""
        self.hub_auth = self.application.settings["platform"].hub_auth
