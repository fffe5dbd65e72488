"""The watch against the real API server: it goes on after every cut, and lists again only when it must."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from aiplatform_hub.clients.kubernetes.access import KubernetesApi, MissingRightError
from aiplatform_hub.clients.kubernetes.watch import Resource, Watch


@asynccontextmanager
async def watched(cluster, path, *, version=None, **resource):
    configuration = Configuration()
    await config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=configuration, persist_config=False)
    api = KubernetesApi(client=ApiClient(configuration), who="The keeper")
    watch = Watch(api=api, choices=(Resource(path, **resource),))
    watch._version = version
    task = asyncio.create_task(watch.run())
    try:
        await asyncio.wait_for(watch.has_listed.wait(), 20)
        yield watch
    finally:
        task.cancel()
        await asyncio.wait({task})
        await api.close()


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)


def maps(namespace):
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def make(cluster, namespace, *names, label="watched"):
    items = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": {"test": label}}} for name in names]
    await asyncio.to_thread(cluster.kubectl, "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


async def remove(cluster, namespace, name):
    await asyncio.to_thread(cluster.kubectl, "delete", "configmap", name, "-n", namespace)


def names(watch):
    items = watch.items()
    return None if items is None else {item["metadata"]["name"] for item in items.values()}


def test_it_follows_what_matches_and_lists_once(cluster, namespace):
    async def scenario():
        await make(cluster, namespace, "first")
        async with watched(cluster, maps(namespace), label_selector="test=watched") as watch:
            assert names(watch) == {"first"}
            await make(cluster, namespace, "second", "third")
            await make(cluster, namespace, "stranger", label="other")
            await until(lambda: names(watch) == {"first", "second", "third"}, 5)
            await remove(cluster, namespace, "first")
            await until(lambda: names(watch) == {"second", "third"}, 5)
            await until(lambda: watch.counts.watches >= 3, 60)  # each ends after a while and goes on
            await make(cluster, namespace, "fourth")
            await until(lambda: names(watch) == {"second", "third", "fourth"}, 5)
            assert watch.counts.lists == 1

    asyncio.run(scenario())


def test_more_than_one_page_is_one_list(cluster, namespace, monkeypatch):
    monkeypatch.setattr("aiplatform_hub.clients.kubernetes.watch.PAGE", 2)

    async def scenario():
        await make(cluster, namespace, *(f"map-{number}" for number in range(5)))
        async with watched(cluster, maps(namespace), label_selector="test=watched") as watch:
            assert len(names(watch)) == 5
            assert watch.counts.lists == 1

    asyncio.run(scenario())


def test_a_version_that_is_too_old_costs_one_list(cluster, namespace):
    async def scenario():
        await make(cluster, namespace, "first")
        async with watched(cluster, maps(namespace), version="1", label_selector="test=watched") as watch:  # long compacted
            assert names(watch) == {"first"}
            await make(cluster, namespace, "second")
            await until(lambda: names(watch) == {"first", "second"}, 5)
            assert (watch.counts.lists, watch.counts.watches) == (1, 2)

    asyncio.run(scenario())


def test_what_is_not_allowed_is_named_and_the_next_choice_taken(cluster, namespace):
    async def scenario():
        token = (await asyncio.to_thread(cluster.kubectl, "create", "token", "default", "-n", namespace)).strip()
        configuration = Configuration()
        await config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=configuration, persist_config=False)
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        configuration.cert_file = configuration.key_file = None
        api = KubernetesApi(client=ApiClient(configuration), who="The keeper")
        watch = Watch(api=api, choices=(Resource("/api/v1/nodes"), Resource(maps(namespace))))
        task = asyncio.create_task(watch.run())
        await asyncio.wait_for(watch.has_listed.wait(), 20)
        assert isinstance(watch.refusal, MissingRightError)
        assert f"may not list configmaps in namespace {namespace}" in str(watch.refusal)
        assert watch.items() is None
        task.cancel()
        await asyncio.wait({task})
        await api.close()

    asyncio.run(scenario())


@pytest.mark.faults
def test_an_api_server_that_is_killed_is_gone_on_from(cluster, namespace):
    async def scenario():
        async with watched(cluster, maps(namespace), label_selector="test=watched") as watch:
            cluster.kill("apiserver")
            await asyncio.sleep(1)
            await asyncio.to_thread(cluster.heal)
            await make(cluster, namespace, "after")
            await until(lambda: names(watch) == {"after"}, 15)
            assert watch.counts.lists <= 2

    asyncio.run(scenario())


@pytest.mark.faults
def test_a_connection_that_falls_silent_is_noticed(cluster, namespace):
    async def scenario():
        async with watched(cluster, maps(namespace), label_selector="test=watched") as watch:
            watches = watch.counts.watches
            cluster.pause("apiserver")
            try:
                await until(lambda: watch.items() is None, 60)  # unknown, not empty
            finally:
                await asyncio.to_thread(cluster.resume, "apiserver")
            await make(cluster, namespace, "after")
            await until(lambda: names(watch) == {"after"}, 30)
            assert watch.counts.watches > watches

    asyncio.run(scenario())
