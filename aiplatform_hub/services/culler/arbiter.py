"""The culler's hook: whether a server that nobody uses may be stopped."""

from __future__ import annotations

import asyncio
import logging
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiplatform_hub.config import add_arguments, settings_from

if TYPE_CHECKING:
    from aiplatform_hub.factory import Factory

LEAST_INACTIVE = timedelta(minutes=5)
"""Whoever was there more recently is not asked about, unless the culler's own limit is shorter: the policy has none below 10 minutes."""
_LOG = logging.getLogger("aiplatform_hub.culler")


class Arbiter:
    """Answers the culler. Whatever it does not know, and whatever goes wrong, keeps the server.

    Parameters
    ----------
    arguments
        The settings, as the services take them.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        parser = ArgumentParser(prog="jupyterhub-idle-culler … --")
        add_arguments(parser)
        self._settings = settings_from(parser.parse_args(list(arguments)))
        self._factory: Factory | None = None
        self._untold: set[str] = set()
        # servers of which the ledger says nothing that would have to be taken back; what an earlier culler said is not known before the first look

    async def __call__(self, *, inactive: timedelta | None, inactive_limit: float, server: Mapping[str, Any], **_: object) -> bool:
        """Return whether to stop a server; then why it ends is recorded already."""
        try:
            return await asyncio.to_thread(self._is_to_end, inactive, timedelta(seconds=inactive_limit), server)
        except Exception:  # noqa: BLE001 - the edge of a process that would stop the server
            _LOG.exception("Whether %s may be stopped is not known: it is kept", server.get("full_name"))
            return False

    def _is_to_end(self, inactive: timedelta | None, limit: timedelta, server: Mapping[str, Any]) -> bool:
        """Ask the ledger about a server, unless it was used just now and nothing was said of it before."""
        full_name = str(server["full_name"])
        if inactive is None or (inactive < min(limit or LEAST_INACTIVE, LEAST_INACTIVE) and full_name in self._untold):
            return False
        user_name, _, server_name = full_name.partition("/")
        found = self._made().server_culler.look(user_name, server_name, inactive, limit or None)
        (self._untold.discard if found.is_told else self._untold.add)(full_name)
        return found.is_to_end

    def _made(self) -> Factory:
        """Return the factory; its modules are loaded when a server may have to end, as this process mostly waits."""
        if self._factory is None:
            from aiplatform_hub.factory import Factory  # noqa: PLC0415 - said above

            self._factory = Factory(self._settings)
        return self._factory
