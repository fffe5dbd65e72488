"""The ``aiplatform`` command."""

from aiplatform_hub.cli.main import main

__all__ = ["main"]
