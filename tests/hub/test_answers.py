"""Whether a server answers: every answer of its own counts, nothing else does."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from aiplatform_hub.hub import answers as module
from aiplatform_hub.hub.answers import answers
from tests.support.hub import free_port


async def asked(reply: bytes | None) -> tuple[bool, bytes]:
    """Return what is said of a server that replies so, or never, and what it was sent."""
    sent: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            sent.append(await reader.readuntil(b"\r\n\r\n"))
            if reply is None:
                await reader.read()
            writer.write(reply or b"")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        return await answers(f"http://127.0.0.1:{port}", "/user/ada/"), b"".join(sent)
    finally:
        server.close()


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "403 Forbidden", "404 Not Found", "500 Internal Server Error"])
def test_every_answer_of_its_own_counts(status: str) -> None:
    is_up, sent = asyncio.run(asked(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()))
    assert is_up
    assert sent.startswith(b"GET /user/ada/api HTTP/1.1\r\nHost: 127.0.0.1:")


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 504 No\r\n\r\n", b"SSH-2.0-x\r\n", b"", b"x" * 70_000]
)
def test_what_stands_before_it_or_speaks_no_http_does_not(reply: bytes) -> None:
    assert not asyncio.run(asked(reply))[0]


def test_silence_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)
    assert not asyncio.run(asked(None))[0]


def test_nobody_listens() -> None:
    assert not asyncio.run(answers(f"http://127.0.0.1:{free_port()}", "/"))


def test_with_tls_nobody_listens() -> None:
    assert not asyncio.run(answers(f"https://127.0.0.1:{free_port()}", "/"))
