# ruff: noqa: F821, INP001 - JupyterHub defines c and runs this by its path
"""The taint that most GPU pools carry."""

c.KubeSpawner.tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
