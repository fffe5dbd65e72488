"""Whether a server answers."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import SplitResult, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPError

CONNECT_SECONDS = 1
ANSWER_SECONDS = 2
_NOT_ITS_OWN = frozenset({502, 503, 504, 599})
"""Answers of something before the server; 599 is the client's own word for none."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


async def answers(url: str, base_path: str) -> bool:
    """Whether anything speaks HTTP at a server's address: every answer counts, also a refusal."""
    parts = urlsplit(url)
    status = await _status_by_tls(parts, base_path) if parts.scheme == "https" else await _status(parts, base_path)
    return status is not None and status not in _NOT_ITS_OWN


async def _status(parts: SplitResult, base_path: str) -> int | None:
    """Return the status of an answer, and read no more: a quarter of the work of a client that reads it all. A server that starts is asked again and again."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    except (OSError, TimeoutError):
        return None
    try:
        writer.write(f"GET {parts.path}{base_path}api HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode())
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError):  # the last one for a line without end
        return None
    finally:
        writer.close()
    told = _STATUS.match(line)
    return int(told[1]) if told else None


async def _status_by_tls(parts: SplitResult, base_path: str) -> int | None:
    """Ask with the certificates that the hub gave its client; but first whether anybody listens, which is a tenth of the work of a request that is refused."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443)
        writer.close()
        url = f"{parts.geturl()}{base_path}api"
        answer = await AsyncHTTPClient().fetch(url, connect_timeout=CONNECT_SECONDS, request_timeout=ANSWER_SECONDS, follow_redirects=False)
    except HTTPError as error:
        return error.code
    except (OSError, TimeoutError):
        return None
    return answer.code
