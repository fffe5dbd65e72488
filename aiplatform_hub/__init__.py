"""AI Platform Hub: a JupyterHub distribution for people who share GPUs."""

__version__ = "0.1.0"
