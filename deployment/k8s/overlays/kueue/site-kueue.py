# ruff: noqa: F821, INP001 - JupyterHub defines c and runs this by its path
"""Kueue gives out the GPUs."""

c.AIPlatform.queue_backend = "kueue"
