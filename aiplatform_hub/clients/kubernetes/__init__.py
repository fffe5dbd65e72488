"""A Kubernetes cluster, as the keeper and the spawner need it."""
