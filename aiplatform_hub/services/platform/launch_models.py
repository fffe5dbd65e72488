"""Bodies about what can be launched, and on which terms."""

from __future__ import annotations

from pydantic import Field

from aiplatform_hub.domain.session_terms import SessionTerms
from aiplatform_hub.services.platform.wire import Money, Output


class PackageOut(Output):
    """One thing inside an environment."""

    name: str
    version: str | None = Field(description="From the lock of the environment; null where none says it")


class TermsOut(Output):
    """How long a session that is launched now may run, by the policy in force, and what its planned length costs."""

    planned_cost: Money | None = Field(description="For `max_hours`; null without")
    session_cap_seconds: float | None = Field(description="Length after which its GPUs may be taken; null is never")
    session_ceiling_seconds: float | None = Field(description="Length up to which its owner can extend it; null without a cap")
    idle_after_seconds: float | None = Field(description="Idleness of its GPUs after which they may be taken; null is never")
    only_while_somebody_waits: bool = Field(description="Whether both count only while somebody waits for such GPUs")
    unused_after_seconds: float | None = Field(description="Without GPUs: time after which it ends if nobody uses it; null is never")


def terms_out(terms: SessionTerms, planned_cost: Money | None) -> TermsOut:
    """Return terms as they are sent."""
    return TermsOut(
        planned_cost=planned_cost,
        session_cap_seconds=terms.cap_seconds,
        session_ceiling_seconds=terms.ceiling_seconds,
        idle_after_seconds=terms.idle_after_seconds,
        only_while_somebody_waits=terms.only_while_somebody_waits,
        unused_after_seconds=terms.unused_after_seconds,
    )
