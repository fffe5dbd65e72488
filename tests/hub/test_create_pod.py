"""The request for a pod, against a server that answers as the API server does."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration, CoreV1Api

from aiplatform_hub.hub.cluster_api import create_pod

REFUSED = {"kind": "Status", "code": 403, "message": "pods “a” is forbidden: exceeded quota"}


async def ask(status: int, reply: object) -> list[object]:
    seen: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response(reply, status=status)

    app = web.Application()
    app.router.add_post("/api/v1/namespaces/here/pods", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}"))
    api = CoreV1Api(client)
    try:
        await create_pod(api, "here", {"metadata": {"name": "a"}})
    finally:
        await client.close()
        await runner.cleanup()
    return seen


def test_pod_is_asked_for() -> None:
    assert asyncio.run(ask(201, {"metadata": {"name": "a", "uid": "1"}})) == [{"metadata": {"name": "a"}}]


@pytest.mark.parametrize("status", [403, 409, 422, 500])
def test_refusal_is_raised_with_its_words(status: int) -> None:
    with pytest.raises(ApiException) as found:
        asyncio.run(ask(status, REFUSED))
    assert (found.value.status, json.loads(found.value.body or "")) == (status, REFUSED)
