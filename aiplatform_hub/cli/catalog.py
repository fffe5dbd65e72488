"""``aiplatform catalog``: without a further word it shows the catalogue; ``add-image`` brings an image into it."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from aiplatform_hub.cli.user import catalog as show_catalog

SUBCOMMANDS = {"add-image": "aiplatform_hub.cli.catalog_images:add_image"}
"""Loaded when they are used: showing the catalogue does not wait for an operator's code."""


class CatalogGroup(click.Group):
    """A group whose commands are loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load a command."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, attribute = SUBCOMMANDS[cmd_name].partition(":")
        command: Any = getattr(import_module(module), attribute)
        return command if isinstance(command, click.Command) else None


@click.pass_context
def _show(context: click.Context, /, **options: Any) -> None:
    if context.invoked_subcommand is None:
        context.invoke(show_catalog, **options)


catalog = CatalogGroup("catalog", callback=_show, invoke_without_command=True, params=list(show_catalog.params), help=show_catalog.help)
