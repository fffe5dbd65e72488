"""What it would be to start the same again, for the cards of what has ended."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from aiplatform_hub.domain.allocations import Allocation
from aiplatform_hub.domain.options import options_of, resolve
from aiplatform_hub.domain.requests import Caller, LaunchRequest
from aiplatform_hub.errors import AIPlatformError
from aiplatform_hub.factory import Factory
from aiplatform_hub.operations.availability import unavailable_templates
from aiplatform_hub.web.view_models.starting import AgainNote, again_note, cannot_again


def again_notes(factory: Factory, caller: Caller, ended: Sequence[Allocation], types: Sequence[str]) -> dict[UUID, AgainNote]:
    """Return price and prospect of each choice now, by the session that was started with it.

    Parameters
    ----------
    types
        Names of the GPU types that the place has.
    """
    if not ended:
        return {}
    unavailable = unavailable_templates(factory.catalog, factory.settings, factory.enforcer)
    requests: dict[UUID, LaunchRequest] = {}
    notes: dict[UUID, AgainNote] = {}
    for allocation in ended:
        reason = unavailable.get(allocation.request.environment_template)
        if reason:
            notes[allocation.id] = cannot_again(reason)
            continue
        try:
            requests[allocation.id] = resolve(options_of(allocation.request), catalog=factory.catalog, caller=caller, available_gpu_types=types)
        except AIPlatformError as error:
            notes[allocation.id] = cannot_again(error.message)
    prospects = factory.prospects.of_each(caller, set(requests.values())) if requests else {}
    prices = factory.session_prices.of_each(caller, tuple(requests.values()))
    for (id_, request), price in zip(requests.items(), prices, strict=True):
        notes[id_] = again_note(request.gpus, prospects[request], price.per_hour, price.card.currency, factory.catalog.node_pools)
    return notes
