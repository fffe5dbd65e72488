# ruff: noqa: F821, INP001 - JupyterHub defines c and runs this by its path
"""Each person's pods and home in a namespace of their own."""

c.AIPlatform.namespace_per_user = True
