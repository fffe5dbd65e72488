"""Who is told of a dispute."""

from __future__ import annotations

from aiplatform_hub.clients.hub_api import HubApiClient

PAGE = 1000


async def admins_of(hub: HubApiClient) -> frozenset[str]:
    """Return the names of the hub's admins, who answer disputes.

    Raises
    ------
    ServiceUnavailableError
        If the hub does not say.
    """
    found: list[str] = []
    offset = 0
    while True:
        page = await hub.people(offset=offset, limit=PAGE)
        found += [person.name for person in page.people if person.is_admin]
        offset += len(page.people)
        if not page.people or offset >= page.total:
            return frozenset(found)
