"""The hub's database, touched only while the hub is stopped: a running hub does not see rows written beside it."""

from __future__ import annotations

from dataclasses import dataclass

from jupyterhub import orm
from jupyterhub.roles import assign_default_roles

from aiplatform_hub.config import Settings
from aiplatform_hub.errors import ConfigurationError, NotFoundError
from aiplatform_hub.storage.database import has_table


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWish:
    """What ``aiplatform token`` was asked for."""

    user: str
    is_creating: bool
    """Create the person if there is none."""
    is_admin: bool
    """Make the person an admin."""
    note: str
    expires_in_seconds: int | None


def create_token_in_database(settings: Settings, wish: TokenWish) -> str:
    """Write a token, and if wished its person, into the stopped hub's database.

    Raises
    ------
    ConfigurationError
        If the hub never ran here.
    NotFoundError
        If there is no such person and none is to be created.
    """
    url = f"sqlite:///{settings.data_dir / 'jupyterhub.sqlite'}"
    if not (settings.data_dir / "jupyterhub.sqlite").is_file():
        raise ConfigurationError("The hub's database is not in the data directory. Start the hub and run this beside it.")
    if not has_table(url, "users"):
        raise ConfigurationError("The hub never ran here. Start it once: aiplatform run")
    session = orm.new_session_factory(url)()
    try:
        person = orm.User.find(session, wish.user)
        if person is None and not wish.is_creating:
            raise NotFoundError(f"The hub knows no {wish.user}. Create the person with --create.")
        if person is None:
            person = orm.User(name=wish.user)
            session.add(person)
        if wish.is_admin:
            person.admin = True
        session.commit()
        assign_default_roles(session, entity=person)
        value = str(person.new_api_token(note=wish.note, generated=True, expires_in=wish.expires_in_seconds))
        session.commit()
        return value
    finally:
        session.close()
