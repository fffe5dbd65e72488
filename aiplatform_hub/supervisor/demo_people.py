"""The people of a trial, and their generated passwords."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from aiplatform_hub.hub.demo_auth import hash_password
from aiplatform_hub.supervisor.data_directory import write_atomically

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Person:
    """Someone to look at the platform as."""

    name: str
    groups: tuple[str, ...]
    is_admin: bool = False


PEOPLE = (
    Person("student", ("vision",)),
    Person("researcher", ("vision", "nlp", "premium")),
    Person("guest", ("guest",)),
    Person("admin", (), is_admin=True),
)


def members_by_group() -> dict[str, dict[str, list[str]]]:
    """Return the groups with their members, as ``JupyterHub.load_groups`` takes them."""
    groups = sorted({group for person in PEOPLE for group in person.groups})
    return {group: {"users": [person.name for person in PEOPLE if group in person.groups]} for group in groups}


def make_passwords(file: Path, *, is_renewal: bool = False) -> dict[str, str]:
    """Make the passwords once, keep their hashes and return the passwords; empty when they were made before."""
    if file.exists() and not is_renewal:
        return {}
    passwords = {person.name: "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for person in PEOPLE}
    write_atomically(file, json.dumps({name: hash_password(password) for name, password in passwords.items()}) + "\n")
    return passwords
