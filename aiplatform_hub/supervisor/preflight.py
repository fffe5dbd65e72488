"""What is checked before anything starts. Each problem is one sentence with its fix."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterable

from aiplatform_hub.errors import ConfigurationError
from aiplatform_hub.supervisor.data_directory import is_free
from aiplatform_hub.supervisor.operator_config import OperatorConfig
from aiplatform_hub.supervisor.options import RunOptions
from aiplatform_hub.supervisor.programs import Program

_USER_SERVER = "import aiplatform_hub.session_runner, jupyterhub, jupyterlab"


def check_who_may_log_in(options: RunOptions, operator: OperatorConfig, *, is_root: bool) -> None:
    """Refuse a production start that lets nobody or anybody in.

    Raises
    ------
    ConfigurationError
        With the option or line that is missing.
    """
    if options.is_demo:
        return
    own_file = operator.file or options.data_dir / "jupyterhub_config.py"
    if not is_root and not operator.has_authenticator:
        raise ConfigurationError(
            "Without root there is no way to check the machine's passwords. "
            f'Name an authenticator in {own_file} (for example c.JupyterHub.authenticator_class = "github" with its settings), '
            "start as root to use the machine's accounts, or try it out with: aiplatform run --demo",
        )
    if not operator.has_allow_rule:
        raise ConfigurationError(
            "Nobody is allowed to log in yet. Say who may: --allow-group GROUP or --allow-all, "
            f"or c.Authenticator.allowed_users / allow_all or your authenticator's own allow rule in {own_file}.",
        )
    if not operator.has_admin:
        raise ConfigurationError(f"There is no admin yet. Name the first one: --admin USER, or c.Authenticator.admin_users in {own_file}.")


def check_server_account(account: str) -> None:
    """Check that a trial's servers can run under the unprivileged account, by doing it.

    Raises
    ------
    ConfigurationError
        If the account is missing or cannot run this Python.
    """
    try:
        entry = pwd.getpwnam(account)
    except KeyError as error:
        raise ConfigurationError(f"As root, --demo runs servers as {account}, and there is no such account. Make it: useradd --system {account}") from error
    if entry.pw_uid == 0:
        raise ConfigurationError("As root, --demo runs servers as an unprivileged account, and c.AIPlatform.server_account names root. Name another one.")
    command = [sys.executable, "-c", _USER_SERVER]
    try:
        done = subprocess.run(
            command, user=entry.pw_uid, group=entry.pw_gid, extra_groups=[], cwd="/", env={"PATH": os.defpath}, capture_output=True, check=False
        )
        works = done.returncode == 0
    except OSError:
        works = False
    if not works:
        raise ConfigurationError(
            f"As root, --demo runs servers as {account}, which cannot run {sys.executable}. "
            "Put the clone where everybody may read it (for example /opt) and make .venv with a Python outside /root "
            "(apt-get install python3 python3-venv; rm -r .venv; make setup), or start --demo without root.",
        )


def check_home_path(options: RunOptions, account: str) -> None:
    """Check that the unprivileged account can reach its home in the data directory.

    Raises
    ------
    ConfigurationError
        If a folder above is closed.
    """
    closed = next((folder for folder in options.data_dir.parents if not folder.stat().st_mode & 1), None)
    if closed:
        raise ConfigurationError(
            f"As root, --demo runs servers as {account}, which may not enter {closed}. Name a data directory elsewhere: --data-dir /srv/aiplatform"
        )


def check_ports(programs: Iterable[Program], is_ours: Callable[[Program], bool]) -> None:
    """Refuse when another program has a port that a program to be started needs.

    Raises
    ------
    ConfigurationError
        Naming the port and what to do.
    """
    for program in programs:
        if is_ours(program):
            continue
        for index, (host, port) in enumerate(program.ports):
            if is_free(host, port):
                continue
            if program.name == "proxy" and index == 0:
                raise ConfigurationError(
                    f"Port {port} on {host} is taken or not allowed to this account. Stop what uses it (ss -ltnp 'sport = {port}') or choose another: --port N"
                )
            raise ConfigurationError(
                f"Port {port} on {host}, which the {program.name} needs, is taken. Stop what uses it (ss -ltnp 'sport = {port}'), or, while no session runs, remove run/ports.json.",
            )
