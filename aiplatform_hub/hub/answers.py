"""Whether a server answers."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError


async def answers(url: str, base_path: str) -> bool:
    """Whether anything speaks HTTP at a server's address: every answer counts, also a refusal."""
    if not await _listens(url):
        return False
    try:
        await AsyncHTTPClient().fetch(f"{url}{base_path}api", connect_timeout=1, request_timeout=2, follow_redirects=False)
    except HTTPError as error:
        return error.code not in {502, 503, 504, 599}
    except OSError:
        return False
    return True


async def _listens(url: str) -> bool:
    """Whether a port takes connections: a tenth of the work of a request that is refused."""
    parts = urlsplit(url)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
