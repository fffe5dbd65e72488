"""Configuration of a hub with the AI Platform Hub: ``jupyterhub -f jupyterhub_config.py``.

Set ``c.AIPlatform.data_dir``, ``c.AIPlatform.simulated_gpus`` and the like before ``install(c)``.
"""

from aiplatform_hub.install import install

c = get_config()  # noqa: F821 - JupyterHub defines it in configuration files

install(c)
