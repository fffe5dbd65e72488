"""Whose namespaces nobody needs any more."""

from __future__ import annotations

from collections.abc import Mapping

from aiplatform_hub.clients.hub_api import HubApiClient


async def departed(hub: HubApiClient, owners: Mapping[str, str], last_names: Mapping[str, str]) -> tuple[str, ...]:
    """Return the namespaces whose owner the hub has no more.

    Somebody may have been renamed, so an owner is gone only when nobody of the hub has that id. A hub whose database was
    made anew knows almost nobody: an id that it has not come to yet, or a name that is somebody's, is kept.

    Parameters
    ----------
    owners
        The hub's id of each namespace's owner.
    last_names
        Last known names of owners, by id.

    Raises
    ------
    ServiceUnavailableError
        If the hub does not answer every question: unknown is not gone.
    """
    unsure = {}
    for namespace, owner in owners.items():
        user = await hub.user(last_names[owner]) if owner in last_names else None
        if user is None or str(user.id) != owner:
            unsure[namespace] = owner
    if not unsure:
        return ()
    users = [user for name in await hub.user_names() if (user := await hub.user(name)) is not None]
    ids, names = {user.id for user in users}, {user.name for user in users}
    return tuple(
        namespace for namespace, owner in unsure.items() if int(owner) not in ids and int(owner) < max(ids, default=0) and last_names.get(owner) not in names
    )
