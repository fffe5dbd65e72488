"""The command group: one list of commands, and what is common to all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from aiplatform_hub import __version__

COMMANDS: dict[str, str] = {
    "catalog": "aiplatform_hub.cli.catalog:catalog",
    "capacity": "aiplatform_hub.cli.user:capacity",
    "quota": "aiplatform_hub.cli.user:quota",
    "launch": "aiplatform_hub.cli.launch:launch",
    "what-if": "aiplatform_hub.cli.what_if:what_if",
    "list": "aiplatform_hub.cli.user:list_",
    "show": "aiplatform_hub.cli.user:show",
    "why": "aiplatform_hub.cli.user:why",
    "stop": "aiplatform_hub.cli.user:stop",
    "extend": "aiplatform_hub.cli.extend:extend",
    "queue": "aiplatform_hub.cli.queue:queue",
    "change": "aiplatform_hub.cli.queue:change",
    "confirm": "aiplatform_hub.cli.queue:confirm",
    "notifications": "aiplatform_hub.cli.notifications:notifications",
    "announcements": "aiplatform_hub.cli.announcements:announcements",
    "budgets": "aiplatform_hub.cli.budgets:budgets",
    "credits": "aiplatform_hub.cli.credits:credits_",
    "sessions": "aiplatform_hub.cli.session_moves:sessions",
    "memberships": "aiplatform_hub.cli.memberships:memberships",
    "rate-cards": "aiplatform_hub.cli.rate_cards:rate_cards",
    "disputes": "aiplatform_hub.cli.disputes:disputes",
    "usage": "aiplatform_hub.cli.user:usage",
    "costs": "aiplatform_hub.cli.user:costs",
    "run": "aiplatform_hub.cli.run:run",
    "setup-proxy": "aiplatform_hub.cli.proxy:setup_proxy",
    "token": "aiplatform_hub.cli.token:token",
    "stop-sessions": "aiplatform_hub.cli.operator:stop_sessions",
    "grants": "aiplatform_hub.cli.grants:grants",
    "policy": "aiplatform_hub.cli.policy:policy",
    "environments": "aiplatform_hub.cli.environments:environments",
    "migrate": "aiplatform_hub.cli.operator:migrate",
    "move-cluster": "aiplatform_hub.cli.move_cluster:move_cluster",
    "check-catalog": "aiplatform_hub.cli.operator:check_catalog",
    "verify-ledger": "aiplatform_hub.cli.operator:verify_ledger",
    "replay": "aiplatform_hub.cli.replay:replay",
    "simulate": "aiplatform_hub.cli.simulate:simulate",
    "export-trace": "aiplatform_hub.cli.export_trace:export_trace",
    "invoices": "aiplatform_hub.cli.invoices:invoices",
    "chargeback": "aiplatform_hub.cli.chargeback:chargeback",
    "showback": "aiplatform_hub.cli.chargeback:showback",
    "report": "aiplatform_hub.cli.report:report",
    "completion": "aiplatform_hub.cli.completion:completion",
}
"""Where each command is. A module is loaded when its command is used: a user's command does not wait for the hub's code."""


class CommandList(click.Group):
    """A group whose commands are loaded when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the list."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Load a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: Any = getattr(import_module(module), attribute)
        return command if isinstance(command, click.Command) else None


@click.command(cls=CommandList, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="aiplatform")
def main() -> None:
    """Share GPUs: start, meter and price environments on JupyterHub.

    Commands for users talk to the hub at AIPLATFORM_URL with AIPLATFORM_TOKEN. Commands for
    operators work on the data directory. Exit codes: 0 done, 1 refused, 2 wrong use or
    configuration, 3 not available now, 130 interrupted while waiting.
    """
