"""Unix accounts and home folders of user servers on one machine."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from aiplatform_hub.clients.homes import home_folder
from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server's process is, and where it lives."""

    login: str
    home: Path
    shell: str
    uid: int | None = None
    """None keeps the hub's own account, which is not root."""
    gid: int | None = None
    groups: tuple[int, ...] = ()


def account_for(user_name: str, settings: Settings, server_account: str) -> Account:
    """Return the account of a user's servers on this installation.

    As root: the user's own Unix account, or in a trial the unprivileged account that the operator named.
    Otherwise: the hub's own account, with a folder of the data directory as home.

    Raises
    ------
    ConflictError
        If there is no such Unix account, or it is root's.
    """
    home = home_folder(settings.homes_dir, user_name)
    if os.geteuid() != 0:
        own = pwd.getpwuid(os.geteuid())
        return Account(login=own.pw_name, home=home, shell=own.pw_shell or "/bin/sh")
    entry = _entry(server_account if settings.is_demo else user_name, is_demo=settings.is_demo)
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    shell = "/bin/bash" if settings.is_demo else entry.pw_shell or "/bin/sh"
    return Account(entry.pw_name, home if settings.is_demo else Path(entry.pw_dir), shell, entry.pw_uid, entry.pw_gid, groups)


def _entry(login: str, *, is_demo: bool) -> pwd.struct_passwd:
    try:
        entry = pwd.getpwnam(login)
    except (KeyError, ValueError) as error:
        fix = "Set c.AIPlatform.server_account to an existing one" if is_demo else f"Its administrator makes one with: useradd --create-home {login}"
        raise ConflictError(f"There is no Unix account {login} on this machine. {fix}.") from error
    if entry.pw_uid == 0:
        raise ConflictError("Servers never run as root. Log in as another user.")
    return entry


def make_home(account: Account) -> None:
    """Make the home folder, mode 0700, if it is missing; an existing one is left as it is.

    Raises
    ------
    ConflictError
        If it cannot be made.
    """
    home = account.home
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            home.mkdir(mode=0o700)
        except FileExistsError:
            return
        if account.uid is not None and account.gid is not None:
            os.chown(home, account.uid, account.gid)
    except OSError as error:
        raise ConflictError(f"The home folder {home} cannot be made: {error.strerror}. Its administrator needs to make it.") from error


def check_reach(account: Account, program: Path) -> None:
    """Refuse if the account cannot enter its home or run the program and its interpreter.

    Raises
    ------
    ConflictError
        If a folder or file is closed to the account; the message says which and how to open it.
    """
    if account.uid is None:
        return
    for target, is_program in ((account.home, False), (program, True), *((path, True) for path in _interpreters(program))):
        closed = _first_closed(target, account, is_program=is_program)
        if closed is not None:
            what = f"run {target}" if is_program else f"enter its home {target}"
            raise ConflictError(
                f"Servers run under the account {account.login}, which cannot {what}: {closed} is closed to it. "
                f"The administrator opens it with: chmod o+x {closed}, or installs the platform in a folder that everyone may read."
            )


def _interpreters(program: Path) -> list[Path]:
    """Return the interpreter named in a script's first line, as named and as resolved."""
    try:
        with program.open("rb") as file:
            line = file.readline(512)
    except OSError:
        return []
    if not line.startswith(b"#!"):
        return []
    words = line[2:].decode(errors="replace").split()
    named = Path(words[0]) if words else Path("/")
    return [named, named.resolve()] if named.is_absolute() else []


def _first_closed(target: Path, account: Account, *, is_program: bool) -> Path | None:
    """Return the first folder on the way, or the target itself, that the account may not pass or execute."""
    for path in (*reversed(target.parents), target):
        try:
            mode = path.stat()
        except OSError:
            return path if is_program else None
        if not _may(mode, account, stat.S_IXOTH):
            return path
    return None


def _may(mode: os.stat_result, account: Account, bit: int) -> bool:
    if mode.st_uid == account.uid:
        bit <<= 6
    elif mode.st_gid in account.groups:
        bit <<= 3
    return bool(mode.st_mode & bit)
