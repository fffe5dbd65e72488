# ruff: noqa: F821, INP001 - JupyterHub defines get_config and load_subconfig and runs this by its path
"""Configuration of the hub in plain manifests: the repository's jupyterhub_config.py with what these manifests say."""

import os
from pathlib import Path

from aiplatform_hub.install import install

c = get_config()
HERE = Path("/etc/aiplatform/hub")

# Cookie secret, key of the auth state, the proxy's and the services' tokens come as environment variables from the Secret aiplatform-hub.
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = f"http://hub.{os.environ['POD_NAMESPACE']}:8081"  # people's own namespaces find it too
c.JupyterHub.db_url = os.environ["AIPLATFORM_DATABASE_URL"]  # one database: one backup holds accounts and ledger as of one moment
c.JupyterHub.upgrade_db = True
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = "http://proxy-api:8001"
c.JupyterHub.last_activity_interval = 20  # a proxy that was restarted has its routes again this soon, in seconds
c.JupyterHub.authenticate_prometheus = False  # figures without names; the network policy says who reaches them

# Nobody may log in until site.py says who. Overlays may add site-….py beside it.
c.JupyterHub.authenticator_class = "null"

c.AIPlatform.place = "cluster"
c.AIPlatform.namespace = os.environ["POD_NAMESPACE"]
c.AIPlatform.platform_url = "http://platform:8090"
c.AIPlatform.data_dir = "/srv/aiplatform"
c.AIPlatform.catalog_dirs = ["/etc/aiplatform/catalog"]
c.AIPlatform.image_prefix = "aiplatform-hub/"
c.KubeSpawner.common_labels = {"app": "jupyterhub", "app.kubernetes.io/name": "jupyterhub", "app.kubernetes.io/managed-by": "kubespawner"}
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}

# A home for each person, of the size that their tier says, the same in all their servers.
c.KubeSpawner.storage_pvc_ensure = True
c.KubeSpawner.pvc_name_template = "claim-{username}"
c.KubeSpawner.storage_access_modes = ["ReadWriteOnce"]
c.KubeSpawner.volumes = [{"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}]
c.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]

# Servers that nobody used for four hours stop; a kernel that computes counts as used.
c.JupyterHub.services = [
    {"name": "idle-culler", "command": ["python", "-m", "jupyterhub_idle_culler", "--url=http://localhost:8081/hub/api", "--timeout=14400", "--cull-every=600"]}
]
c.JupyterHub.load_roles = [
    {"name": "idle-culler", "services": ["idle-culler"], "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]}
]

for site in sorted(HERE.glob("site*.py")):
    load_subconfig(str(site))

install(c)
