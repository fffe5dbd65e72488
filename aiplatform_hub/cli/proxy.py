"""``aiplatform setup-proxy``."""

from __future__ import annotations

import click

from aiplatform_hub.cli.output import guarded, say
from aiplatform_hub.supervisor.proxy_program import set_up_proxy


@click.command("setup-proxy")
@guarded
def setup_proxy() -> None:
    """Install the proxy beside this Python, and Node where the machine has none."""
    set_up_proxy(say)
