"""The pages: they show what is stored, so nothing has to be sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiplatform_hub.domain.notices import Message
from aiplatform_hub.errors import ConfigurationError


class PageNotifier:
    """Reaches whoever has a page open: the platform service looks for new notices and tells its streams."""

    def __init__(self, options: Mapping[str, Any], secret: str) -> None:
        if options or secret:
            raise ConfigurationError("c.AIPlatform.notifiers['page'] has no options: pages always show notices.")

    def deliver(self, message: Message) -> None:
        """Do nothing: the message is stored, and so it is shown."""
