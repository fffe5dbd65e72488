"""An account of the cluster with the rights that a test gives it, behind a line that a test can cut."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.cluster.machinery.client import wait_for
from tests.support.machine import free_port

SHIPPED = Path(__file__).parents[2] / "deployment" / "base" / "access" / "hub.yaml"
"""The rights that the manifests give the hub."""


class Line:
    """A TCP port of this machine that leads to the API server, until it is cut.

    Parameters
    ----------
    target
        Where it leads, as host and port.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self.port = free_port()
        self._listening: socket.socket | None = None
        self._ends: set[socket.socket] = set()
        self.mend()

    def mend(self) -> None:
        """Take connections."""
        self._listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        for end in (self._listening, *self._ends):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._listening = None
        self._ends.clear()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(self._target)
                self._ends |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class SmallAccount:
    """A service account and its kubeconfig.

    Parameters
    ----------
    name
        Of the account's namespace and of its role; nothing of the cluster may have it.
    kubeconfig
        Where its kubeconfig is written.
    """

    def __init__(self, cluster: Any, name: str, kubeconfig: Path) -> None:
        self._cluster, self.name, self.kubeconfig = cluster, name, kubeconfig
        config = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        (known,) = config["clusters"]
        address = urlsplit(known["cluster"]["server"])
        self.line = Line((str(address.hostname), address.port or 443))
        cluster.kubectl("create", "namespace", name)
        cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hub", "namespace": name}})
        token = cluster.kubectl("create", "token", "hub", "-n", name).strip()
        known["cluster"] |= {"server": f"https://127.0.0.1:{self.line.port}", "tls-server-name": str(address.hostname)}
        config["users"] = [{"name": "hub", "user": {"token": token}}]
        config["contexts"] = [{"name": "hub", "context": {"cluster": known["name"], "user": "hub"}}]
        kubeconfig.write_text(json.dumps(config | {"current-context": "hub"}))

    def may(self, rules: Iterable[Mapping[str, Any]]) -> None:
        """Give the account just these rights, in every namespace."""
        kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": self.name}}
        subject = {"kind": "ServiceAccount", "name": "hub", "namespace": self.name}
        bound = {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.name}, "subjects": [subject]}
        self._cluster.apply({**kind, "kind": "ClusterRole", "rules": list(rules)}, {**kind, "kind": "ClusterRoleBinding", **bound})

    def await_right(self, verb: str, resource: str, *, is_given: bool) -> None:
        """Wait until the API server knows of a right that was given or taken; ``resource`` may begin with its group and a slash."""
        group, _, kind = resource.rpartition("/")
        account = {"user": f"system:serviceaccount:{self.name}:hub", "groups": ["system:serviceaccounts", "system:authenticated"]}
        asked = {**account, "resourceAttributes": {"verb": verb, "group": group, "resource": kind, "namespace": self.name}}
        review = json.dumps({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": asked})

        def is_known() -> bool:
            return bool((self._cluster.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", given=review) == "true") == is_given)

        wait_for(is_known, 10, f"the right to {verb} {resource}: {is_given}")

    def remove(self) -> None:
        """Take everything of it away."""
        self.line.cut()
        for kind in ("clusterrolebinding", "clusterrole"):
            self._cluster.kubectl("delete", kind, self.name, "--ignore-not-found")
        self._cluster.kubectl("delete", "namespace", self.name, "--wait=false")


def shipped_rules(*, without: tuple[str, str] | None = None, file: Path = SHIPPED, role: str = "Role") -> list[dict[str, Any]]:
    """Return the rules of a role of the manifests, without one verb on one resource."""
    (found,) = [one for one in yaml.safe_load_all(file.read_text()) if one and one["kind"] == role and one["metadata"]["name"].endswith("hub")]
    rules: list[dict[str, Any]] = found["rules"]
    if without is None:
        return rules
    resource, verb = without
    assert any(resource in rule["resources"] and verb in rule["verbs"] for rule in rules), f"{without} is no rule that is shipped"
    return [rule | {"verbs": [v for v in rule["verbs"] if resource not in rule["resources"] or v != verb]} for rule in rules]
