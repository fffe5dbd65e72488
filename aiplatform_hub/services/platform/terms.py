"""Under which terms somebody would start something now. Reads the database: call it in a thread."""

from __future__ import annotations

from aiplatform_hub.config import Place
from aiplatform_hub.domain.inactivity import Owned, inactivity_limit
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.domain.session_terms import SessionTerms, terms_of
from aiplatform_hub.factory import Factory
from aiplatform_hub.storage.database import Connection


def terms_of_launch(factory: Factory, caller: Caller | None, request: LaunchRequest) -> SessionTerms:
    """Return the terms of a request by the policy in force; with GPUs it does not matter whose it is."""
    return launch_terms(factory, caller, environment_template=request.environment_template, project=request.project, gpus=request.gpus)


def launch_terms(factory: Factory, caller: Caller | None, *, environment_template: str, project: str, gpus: int) -> SessionTerms:
    """Return the terms of a session by the policy in force; None for a caller whose tier plays no part."""
    policy = factory.policies.current()
    unused = None
    if not gpus:
        tier = factory.enforcer.tier_name(caller) if caller and policy.tier_inactive_after_seconds else ""
        with factory.database.read() as connection:
            place = place_seconds(factory, connection)
        unused = inactivity_limit(Owned(project, tier, environment_template), policy, place).after_seconds
    return terms_of(policy, gpus, unused)


def place_seconds(factory: Factory, connection: Connection) -> float | None:
    """Return after how long the culler ends what the policy does not name; in a cluster that is the chart's to say, and the hub knows it."""
    minutes = factory.settings.stop_inactive_minutes
    if factory.settings.place is Place.CLUSTER:
        beat = factory.heartbeats.find(connection, "hub")
        minutes = 0 if beat is None else int(beat.detail.get("stop_inactive_minutes", 0))
    return minutes * 60.0 if minutes else None
