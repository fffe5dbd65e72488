"""Yours: any setting of JupyterHub, KubeSpawner and the platform.

For example::

    c.JupyterHub.authenticator_class = "generic-oauth"
    c.GenericOAuthenticator.client_id = "..."  # its secret: OAUTH_CLIENT_SECRET in the hub's environment
    c.Authenticator.admin_users = {"ada"}
    c.Authenticator.allowed_groups = {"gpu-users"}
"""  # noqa: INP001 - a file of the ConfigMap
