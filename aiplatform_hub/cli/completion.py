"""``aiplatform completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from aiplatform_hub.cli.output import say


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell; for bash: eval "$(aiplatform completion bash)"."""
    complete = get_completion_class(shell)
    if complete:
        say(complete(context.find_root().command, {}, "aiplatform", "_AIPLATFORM_COMPLETE").source())
