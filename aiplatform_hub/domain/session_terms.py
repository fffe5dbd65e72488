"""How long what is launched now may run, and what it will cost: the terms under which it starts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from aiplatform_hub.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What the policy in force promises to a session that is launched now."""

    cap_seconds: float | None
    """Length after which its GPUs may be taken; None is never."""
    ceiling_seconds: float | None
    """Length up to which its owner can carry it by extensions; None without a cap."""
    idle_after_seconds: float | None
    """Idleness of its GPUs after which they may be taken; None is never."""
    only_while_somebody_waits: bool
    """Whether both count only while somebody waits for such GPUs."""
    unused_after_seconds: float | None
    """Time after which one without GPUs ends that nobody uses; None is never, and for those with GPUs."""


def terms_of(policy: Policy, gpus: int, unused_after_seconds: float | None) -> SessionTerms:
    """Return the terms of a session.

    Parameters
    ----------
    unused_after_seconds
        After how long one without GPUs ends that nobody uses; None is never.
    """
    if not gpus:
        return SessionTerms(None, None, None, only_while_somebody_waits=False, unused_after_seconds=unused_after_seconds)
    is_taken = policy.is_releasing
    cap = policy.session_cap_seconds if is_taken else None
    return SessionTerms(
        cap_seconds=cap,
        ceiling_seconds=None if cap is None else max(cap, policy.session_ceiling_seconds),
        idle_after_seconds=policy.idle_after_seconds if is_taken else None,
        only_while_somebody_waits=policy.acts_only_while_somebody_waits,
        unused_after_seconds=None,
    )


def planned_cost(per_hour: Decimal | None, max_hours: int | None) -> Decimal | None:
    """Return what the planned length costs; None where no length is planned or nothing is priced."""
    return per_hour * max_hours if per_hour is not None and max_hours else None
