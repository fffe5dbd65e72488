"""Starts a container image once, as a session would run it, and returns what it printed."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiplatform_hub.clients.kubernetes.access import KubernetesApi, MissingError
from aiplatform_hub.domain.images import TRIAL_SCRIPT
from aiplatform_hub.errors import AIPlatformError, InvalidOptionError, ServiceUnavailableError

ENGINES = ("podman", "docker")
ACCOUNT = 1000
"""User and group of sessions in containers."""

_PULL_FAILED = frozenset({"ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError"})
_START_FAILED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_POLL_SECONDS = 1.0
_REPORT = "/dev/termination-log"
"""The kubelet shows its content in the pod's status: no right to read logs is needed."""
_NO_PULL = "{image} cannot be pulled: {words}\n{remedy}"
_ENGINE_ITSELF_FAILED, _NOT_RUN = 125, (126, 127)


def try_with_engine(image: str, *, timeout_seconds: float) -> str:
    """Run the trial with this machine's podman or docker.

    Raises
    ------
    InvalidOptionError
        If the image cannot be had or does not start.
    ServiceUnavailableError
        If there is no engine that answers, or the image is silent for too long.
    """
    engine = next((name for name in ENGINES if _answers(name)), None)
    if engine is None:
        raise ServiceUnavailableError(
            "Trying an image on this machine needs podman or docker, and neither answers. Install one (apt-get install podman), or try it in a cluster: --place cluster."
        )
    name = f"aiplatform-try-{secrets.token_hex(4)}"
    options = ("--rm", "--name", name, "--user", f"{ACCOUNT}:{ACCOUNT}", "--env", "HOME=/tmp", "--entrypoint", "sh")
    try:
        done = subprocess.run([engine, "run", *options, image, "-c", TRIAL_SCRIPT], capture_output=True, text=True, timeout=timeout_seconds, check=False)
    except subprocess.TimeoutExpired as error:
        subprocess.run([engine, "rm", "--force", name], capture_output=True, check=False)
        raise ServiceUnavailableError(f"{image} did not answer within {timeout_seconds:g} s. More time: --timeout-seconds.") from error
    words = (done.stderr.strip().splitlines() or ["no word why"])[-1]
    if done.returncode == _ENGINE_ITSELF_FAILED:
        remedy = f"Try it yourself: {engine} pull {image}. For a private registry log in before: {engine} login."
        raise InvalidOptionError(_NO_PULL.format(image=image, words=words, remedy=remedy))
    if done.returncode in _NOT_RUN:
        raise InvalidOptionError(f"{image} does not start: {words}")
    return done.stdout


def _answers(engine: str) -> bool:
    if not shutil.which(engine):
        return False
    with suppress(subprocess.TimeoutExpired):
        return subprocess.run([engine, "ps"], capture_output=True, timeout=20, check=False).returncode == 0
    return False


def try_in_cluster(image: str, *, namespace: str, pull_secrets: Sequence[str] = (), timeout_seconds: float) -> str:
    """Run the trial in a pod, which is removed again.

    Raises
    ------
    InvalidOptionError
        If the image cannot be pulled or does not start.
    AIPlatformError
        As the API server refuses or does not answer, or the pod ends nowhere in time.
    """
    return asyncio.run(_try_in_cluster(image, namespace, pull_secrets, timeout_seconds))


async def _try_in_cluster(image: str, namespace: str, pull_secrets: Sequence[str], timeout_seconds: float) -> str:
    api = await KubernetesApi.connect(who="This command")
    try:
        pods = f"/api/v1/namespaces/{namespace}/pods"
        pod = trial_pod(image, pull_secrets=pull_secrets)
        path = f"{pods}/{pod['metadata']['name']}"
        try:
            await api.send("POST", pods, pod)
            return await _report(api, path, image, namespace, timeout_seconds)
        finally:
            with suppress(AIPlatformError):
                await api.send("DELETE", path, {"gracePeriodSeconds": 0})
    finally:
        await api.close()


def trial_pod(image: str, *, pull_secrets: Sequence[str] = ()) -> dict[str, Any]:
    """Return the pod of a trial: small, and within Pod Security's *restricted*."""
    container = {
        "name": "trial",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", f"{{ {TRIAL_SCRIPT}}} >{_REPORT}"],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the container's own
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "terminationMessagePath": _REPORT,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"aiplatform-try-{secrets.token_hex(4)}", "labels": {"app.kubernetes.io/name": "aiplatform-image-trial"}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
            "imagePullSecrets": [{"name": name} for name in pull_secrets],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": ACCOUNT,
                "runAsGroup": ACCOUNT,
                "fsGroup": ACCOUNT,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        },
    }


async def _report(api: KubernetesApi, path: str, image: str, namespace: str, timeout_seconds: float) -> str:
    """Wait until the pod has ended and return what it wrote."""
    waiting_for = "it was not started"
    pull_words = ""
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                status: Mapping[str, Any] = (await api.get(path)).get("status", {})
                state: Mapping[str, Any] = next((container["state"] for container in status.get("containerStatuses", ())), {})
                if state.get("terminated"):
                    return _written(image, state["terminated"])
                reason, words = _waits(status, state)
                if reason == "ErrImagePull":
                    pull_words = words
                if reason in _PULL_FAILED:
                    remedy = (
                        "Check its name and tag, and that the nodes reach its registry. For a private registry: kubectl create secret docker-registry "
                        f"NAME -n {namespace} …, then --pull-secret NAME."
                    )
                    raise InvalidOptionError(_NO_PULL.format(image=image, words=_short(pull_words or words or reason), remedy=remedy))
                if reason in _START_FAILED:
                    raise InvalidOptionError(f"{image} does not start: {_short(words or reason)}")
                waiting_for = f"{reason}: {_short(words)}" if reason else waiting_for
    except TimeoutError as error:
        raise ServiceUnavailableError(f"{image} did not answer within {timeout_seconds:g} s ({waiting_for}). More time: --timeout-seconds.") from error
    except MissingError as error:
        raise ServiceUnavailableError("Somebody removed the pod of the trial. Run the command again.") from error


def _waits(status: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the pod waits for: a reason of Kubernetes, and its words."""
    waiting = state.get("waiting")
    if waiting:
        return waiting.get("reason", ""), waiting.get("message", "")
    refused = (item for item in status.get("conditions", ()) if item["type"] == "PodScheduled" and item["status"] == "False")
    scheduled: Mapping[str, Any] = next(refused, {})
    return scheduled.get("reason", ""), scheduled.get("message", "")


def _written(image: str, terminated: Mapping[str, Any]) -> str:
    """Return what the ended container wrote."""
    reason, message = str(terminated.get("reason", "")), str(terminated.get("message", ""))
    if reason in _START_FAILED or (reason != "Completed" and "end=" not in message):
        raise InvalidOptionError(f"{image} does not start: {_short(message or reason)}")
    return message


def _short(words: str) -> str:
    """Return the end of a long message of the container runtime: it wraps the cause in what it was doing."""
    line = re.sub(r"\s+", " ", words).strip()
    return line if len(line) <= 400 else f"… {line[-400:]}"  # noqa: PLR2004 - what fits a terminal
