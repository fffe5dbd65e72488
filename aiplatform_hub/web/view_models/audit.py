"""The audit trail, a page at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiplatform_hub.storage.audit import AuditEvent
from aiplatform_hub.web.view_models.formats import Stamp, stamp
from aiplatform_hub.web.view_models.paths import Paths

TONES = {"done": "good", "allowed": "good", "denied": "warn", "refused": "bad"}
"""How an outcome looks."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the audit trail."""

    at: Stamp | None
    actor: str
    action: str
    target: str
    outcome: str
    tone: str
    detail: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some lines, newest first."""

    rows: tuple[AuditRow, ...]
    actor: str
    """Whose acts are shown; empty for everybody's."""
    older_url: str
    """Empty on the last page."""
    newest_url: str
    """Empty on the first page."""


def audit_page(events: Sequence[AuditEvent], *, limit: int, actor: str, is_first: bool, paths: Paths) -> AuditPage:
    """Return a page; one event more than its limit means that there are older ones."""
    here = f"{paths.platform}admin/audit"
    whose = {"actor": actor} if actor else {}
    older = {**whose, "before": events[limit - 1].id} if len(events) > limit else None
    return AuditPage(
        rows=tuple(audit_row(event) for event in events[:limit]),
        actor=actor,
        older_url=f"{here}?{urlencode(older)}" if older else "",
        newest_url="" if is_first else here + (f"?{urlencode(whose)}" if whose else ""),
    )


def audit_row(event: AuditEvent) -> AuditRow:
    """Return one line of the audit trail."""
    tone = TONES.get(event.outcome, "")
    return AuditRow(stamp(event.at), event.actor, event.action, event.target, event.outcome, tone, plain_detail(event.detail))


def plain_detail(detail: Mapping[str, Any]) -> str:
    """Return details as ``name: value`` pairs."""
    return ", ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in detail.items() if value not in ([], "", None))


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
