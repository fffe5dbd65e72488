"""Accounts and homes: names of any kind, and no server that runs as root."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from aiplatform_hub.clients.homes import folder_name
from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ConflictError
from aiplatform_hub.hub.accounts import Account, account_for, check_reach, make_home

NAMES = ["alice", "Alice", "a@b.org", "a-b.org", "a/b", "../../etc", "...", "名前", "x" * 300, "x" * 299 + "y", " ", "a b", "-", "a--b"]
ROOT_ONLY = os.geteuid() == 0


def test_folder_names_are_plain_and_tell_everybody_apart() -> None:
    folders = [folder_name(name) for name in NAMES]
    assert len(set(folders)) == len(NAMES)
    for folder in folders:
        assert folder.isascii()
        assert "/" not in folder
        assert not folder.startswith(".")
        assert 0 < len(folder) <= 64


def test_demo_server_runs_under_an_unprivileged_account(tmp_path: Path) -> None:
    account = account_for("a@b.org", Settings(data_dir=tmp_path, is_demo=True), "nobody")
    assert account.home == tmp_path / "homes" / folder_name("a@b.org")
    assert account.uid != 0


@pytest.mark.parametrize(
    ("user", "is_demo", "server_account"), [("no-such-person", False, "nobody"), ("alice", True, "no-such-account"), ("root", False, "nobody")]
)
def test_missing_account_and_root_are_refused(tmp_path: Path, user: str, is_demo: bool, server_account: str) -> None:
    settings = Settings(data_dir=tmp_path, is_demo=is_demo)
    if not ROOT_ONLY:
        assert account_for(user, settings, server_account).uid is None  # without root every server has the hub's own account
        return
    with pytest.raises(ConflictError):
        account_for(user, settings, server_account)


def test_home_is_made_private_and_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    account = Account("me", tmp_path / "homes" / "me", "/bin/sh")
    make_home(account)
    assert stat.S_IMODE(account.home.stat().st_mode) == 0o700
    account.home.chmod(0o755)
    make_home(account)
    assert stat.S_IMODE(account.home.stat().st_mode) == 0o755


def test_interpreter_that_the_account_cannot_run_is_named_with_its_fix(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    interpreter = closed / "python"
    interpreter.touch(mode=0o755)
    program = tmp_path / "program"
    program.write_text(f"#!{interpreter}\n")
    program.chmod(0o755)
    (tmp_path / "home").mkdir(mode=0o711)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o711)
    account = Account("stranger", tmp_path / "home", "/bin/sh", uid=123456, gid=123456, groups=(123456,))
    with pytest.raises(ConflictError, match=f"chmod o\\+x {closed}"):
        check_reach(account, program)
    closed.chmod(0o711)
    check_reach(account, program)
