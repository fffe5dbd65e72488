"""What an admin sees below the sessions, the queue and the GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from aiplatform_hub.web.view_models.policy_panel import PolicyPanel


@dataclass(frozen=True, slots=True)
class AdminPage:
    """What Admin shows below the sessions, the queue and the GPUs."""

    place: str = "machine"
    """What a sentence calls where servers run: ``machine`` or ``cluster``."""
    policy: PolicyPanel | None = None
    """What the queue follows; None where it is not known."""
