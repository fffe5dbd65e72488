"""Which sessions the planner may count on: those whose GPUs may be taken, and those that are being stopped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation, AllocationState
from aiplatform_hub.domain.policy import Policy
from aiplatform_hub.domain.queueing import Outlook, Takeable
from aiplatform_hub.domain.release import NOT_FOR_US, Action, Cause, Surroundings, facts_of, verdict


def takeable_of(session: Allocation, around: Surroundings, policy: Policy) -> Takeable | None:
    """Return from when a session's GPUs may be taken for somebody who waits; None if nothing may take them.

    A session that somebody or something stops already comes free: nobody else has to be stopped for the same need. Where the policy
    takes nothing back there is no such need, and nothing is kept for anybody.
    """
    if not session.devices or not policy.is_releasing:
        return None
    if session.stop_cause is not None:
        return Takeable(around.now.timestamp(), is_ending=True)
    if session.state is not AllocationState.ACTIVE:
        return None
    found = verdict(facts_of(session, around), policy, is_somebody_waiting=True)
    if found.deadline_seconds is None or found.why in NOT_FOR_US:
        return None
    return Takeable(found.deadline_seconds, is_idle=found.action is Action.RELEASE and found.why is Cause.IDLE)


def with_takeable(outlook: Outlook, opened: Iterable[Allocation], around: Mapping[UUID, Surroundings], policy: Policy) -> Outlook:
    """Return an outlook that says which sessions may be taken; those that end or have gone idle are expected to come free then."""
    sessions = {session.id: session for session in opened if session.id in around}
    takeable = {id_: found for id_, session in sessions.items() if (found := takeable_of(session, around[id_], policy)) is not None}
    soon = {id_: each.from_seconds for id_, each in takeable.items() if each.is_ending or around[id_].idle_since is not None}
    return replace(outlook, takeable=takeable, ends={**outlook.ends, **soon})


def promised_now(known: Mapping[UUID, frozenset[UUID]], live: Mapping[UUID, Allocation], blocked: frozenset[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Return the promises that still hold: the request waits, and each of its sessions is being stopped or over.

    Parameters
    ----------
    known
        Sessions claimed for each request in the last pass.
    live
        Everything that is open or queued.
    blocked
        Requests that wait for something of their own.
    """
    return {
        id_: sessions
        for id_, sessions in known.items()
        if id_ in live and live[id_].is_queued and id_ not in blocked and all(s not in live or live[s].stop_cause is not None for s in sessions)
    }
