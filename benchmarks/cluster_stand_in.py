"""Play the part of a cluster's API that a hub looks at while its servers only run: one list of pods for each namespace, and watches that tell nothing.

Run: python benchmarks/cluster_stand_in.py PORT FOLDER, where FOLDER/NAMESPACE.json is what a list of that namespace's pods answers
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from aiohttp import web

EMPTY = b'{"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": []}'
WATCH_SECONDS = 3600


async def _answer(request: web.Request) -> web.StreamResponse:
    if request.query.get("watch", "").lower() in {"1", "true"}:
        return await _watch(request)
    is_of_pods = request.match_info["kind"] == "pods"
    body = await asyncio.to_thread(_pods, request.app[FOLDER], request.match_info["namespace"]) if is_of_pods else EMPTY
    return web.Response(body=body, content_type="application/json")


def _pods(folder: Path, namespace: str) -> bytes:
    file = folder / f"{namespace}.json"
    return file.read_bytes() if file.exists() else EMPTY


async def _watch(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    await asyncio.sleep(min(WATCH_SECONDS, float(request.query.get("timeoutSeconds", WATCH_SECONDS))))
    return answer


FOLDER = web.AppKey("folder", Path)


def kubeconfig(port: int) -> str:
    """Return what leads a client here."""
    cluster = {"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{port}"}}
    context = {"name": "stand-in", "context": {"cluster": "stand-in", "user": "nobody"}}
    users = [{"name": "nobody", "user": {"token": "none"}}]
    return json.dumps({"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "users": users, "current-context": "stand-in"})


def main(port: int, folder: Path) -> None:
    app = web.Application()
    app[FOLDER] = folder
    app.router.add_get("/api/v1/namespaces/{namespace}/{kind}", _answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
