"""Names that the platform writes on pods and namespaces, spelled in one place."""

from __future__ import annotations

ALLOCATION_LABEL = "aiplatform-hub/allocation"
"""Id of the pod's allocation."""
SPAWNER_LABEL = "aiplatform-hub/spawner"
"""``orm_spawner.id`` of the pod's server."""
USER_ID_LABEL = "aiplatform-hub/user-id"
"""JupyterHub's id of the pod's owner."""
TEMPLATE_LABEL = "aiplatform-hub/environment-template"
PROJECT_LABEL = "aiplatform-hub/project"
FINALIZER = "aiplatform-hub/usage-recorded"
"""Keeps a pod readable until its end is in the ledger; only the keeper removes it."""
OWNER_LABEL = "aiplatform-hub/owner"
"""On a namespace: JupyterHub's id of the person whose it is."""
HUB_NAMESPACE_LABEL = "aiplatform-hub/hub-namespace"
"""On a person's namespace: where their hub is; the ids of two hubs of a cluster are the same numbers."""

COMPONENT = "singleuser-server"
"""Value of the label ``component`` on every person's pod, as the ecosystem has it."""
CONTAINER = "notebook"
"""Name of the container that is the session; others of the pod are not metered."""

GPU_RESOURCE = "nvidia.com/gpu"
"""The resource of a GPU type that names no other."""
PRODUCT_LABEL = "nvidia.com/gpu.product"
"""The node label of a GPU type that names no other."""
