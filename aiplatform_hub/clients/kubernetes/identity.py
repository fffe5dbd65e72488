"""Which cluster and namespace this is, by what nobody can give twice."""

from __future__ import annotations

from aiplatform_hub.clients.kubernetes.access import KubernetesApi, MissingError
from aiplatform_hub.domain.clusters import ClusterIdentity
from aiplatform_hub.errors import ConfigurationError


async def cluster_identity(api: KubernetesApi, namespace: str) -> ClusterIdentity:
    """Return the identity of a namespace. A Role in it that may get it is enough.

    Raises
    ------
    ConfigurationError
        If the cluster has no such namespace.
    ClusterUnavailableError, MissingRightError
        If the API server does not answer, or does not allow it.
    """
    try:
        found = await api.get(f"/api/v1/namespaces/{namespace}")
    except MissingError as error:
        raise ConfigurationError(
            f"There is no namespace {namespace} in the cluster at {api.address}. Name the one of people's pods with --namespace."
        ) from error
    return ClusterIdentity(found["metadata"]["uid"], namespace, api.address)
