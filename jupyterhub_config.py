"""Configuration of a hub with the AI Platform Hub: ``jupyterhub -f jupyterhub_config.py``."""

from aiplatform_hub.install import install

c = get_config()  # noqa: F821 - JupyterHub defines it in configuration files

# c.AIPlatform.data_dir = "/srv/aiplatform"
# c.AIPlatform.simulated_gpus = 4

install(c)
