"""The command group: one list of commands, and what is common to all."""

from __future__ import annotations

import click

from aiplatform_hub import __version__
from aiplatform_hub.cli import environments, operator, run, token

COMMANDS: list[click.Command] = [
    run.run,
    operator.setup_proxy,
    token.token,
    operator.migrate,
    operator.check_catalog,
    operator.verify_ledger,
    operator.stop_sessions,
    environments.environments,
    environments.completion,
]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="aiplatform")
def main() -> None:
    """Share GPUs: start, meter and price environments on JupyterHub.

    Commands for users talk to the hub at AIPLATFORM_URL with AIPLATFORM_TOKEN. Commands for
    operators work on the data directory. Exit codes: 0 done, 1 refused, 2 wrong use or
    configuration, 3 not available now.
    """


for command in COMMANDS:
    main.add_command(command)
