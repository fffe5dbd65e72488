"""The queue's policy for an admin: which version counts, what it changes, and for which classes GPUs are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiplatform_hub.catalog.policy_words import changes_between
from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.catalog import Catalog
from aiplatform_hub.domain.classes import instant_of, of_now_and_later
from aiplatform_hub.domain.policy import SHIPPED, ClassReservation, Policy
from aiplatform_hub.web.view_models.formats import Stamp, count, duration, gpus, stamp
from aiplatform_hub.web.view_models.labels import gpu_label, project_label


@dataclass(frozen=True, slots=True)
class WindowRow:
    """GPUs that are kept for a class."""

    project: str
    gpus: str
    start: Stamp | None
    end: Stamp | None
    state: str
    tone: str
    makes_room: str
    """Which sessions end for it."""


@dataclass(frozen=True, slots=True)
class PolicyPanel:
    """What Admin shows of the policy."""

    version: str
    applied_at: Stamp | None
    applied_by: str
    trouble: str
    """Why an older version counts than the newest; empty where the newest does."""
    changes: tuple[tuple[str, str, str], ...]
    """Key, shipped value and value of what is not as shipped."""
    windows: tuple[WindowRow, ...]


def policy_panel(  # noqa: PLR0913  keyword-only
    policy: Policy, *, version: int, applied_at: datetime | None, applied_by: str, trouble: str, opened: Sequence[Allocation], catalog: Catalog, now: datetime
) -> PolicyPanel:
    """Return the policy that counts, in words.

    Parameters
    ----------
    opened
        The open allocations, of which some end for a class.
    """
    windows = of_now_and_later(policy.reservations, now)
    return PolicyPanel(
        version=f"Version {version}" if version else "As shipped",
        applied_at=stamp(applied_at),
        applied_by=applied_by,
        trouble=trouble,
        changes=tuple((c.key, c.before, c.after) for c in changes_between(SHIPPED, policy) if c.key != "reservations"),
        windows=tuple(_row(window, opened, catalog, now) for window in windows),
    )


def _row(window: ClassReservation, opened: Sequence[Allocation], catalog: Catalog, now: datetime) -> WindowRow:
    start, end = instant_of(window.start_seconds), instant_of(window.end_seconds)
    leaving = [a for a in opened if a.must_end_at == start and a.request.project != window.project]
    state, tone = ("on now", "good") if start <= now else (f"in {duration(start - now)}", "")
    return WindowRow(
        project=project_label(catalog, window.project),
        gpus=gpus(window.gpus, gpu_label(catalog, window.gpu_type)),
        start=stamp(start),
        end=stamp(end),
        state=state,
        tone=tone,
        makes_room=", ".join(f"{a.user_name} ({count(a.request.gpus, 'GPU')})" for a in leaving) or "nobody",
    )
