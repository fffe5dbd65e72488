"""``aiplatform run``: starts the proxy, the hub and the services beside each other and keeps them running."""
