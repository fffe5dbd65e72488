"""A person's namespace goes only when the hub surely has nobody of that id."""

import asyncio

import pytest

from aiplatform_hub.clients.hub_api import HubUser
from aiplatform_hub.errors import ServiceUnavailableError
from aiplatform_hub.services.keeper.namespaces import departed


class Hub:
    """Answers what a hub would."""

    def __init__(self, is_away=False, **people):
        self.people, self.is_away = people, is_away

    async def user(self, name):
        if self.is_away:
            raise ServiceUnavailableError("away")
        return HubUser(self.people[name], name, is_admin=False, groups=frozenset()) if name in self.people else None

    async def user_names(self):
        if self.is_away:
            raise ServiceUnavailableError("away")
        return tuple(self.people)


@pytest.mark.parametrize(
    ("people", "last_names", "expected"),
    [
        ({"alice": 1, "bob": 2}, {"1": "alice"}, ()),
        ({"alicia": 1, "bob": 2}, {"1": "alice"}, ()),  # renamed
        ({"alice": 7, "alicia": 1}, {"1": "alice"}, ()),  # and somebody else has her name now
        ({"bob": 2}, {"1": "alice"}, ("jupyter-1",)),
        ({"bob": 2}, {}, ("jupyter-1",)),
        ({"alice": 7}, {"1": "alice"}, ()),  # a new person of that name, or an old one in a new database
        ({"bob": 1}, {"1": "alice"}, ()),
        ({}, {"1": "alice"}, ()),  # a hub without anybody is more likely a wrong one
    ],
)
def test_who_is_gone(people, last_names, expected):
    assert asyncio.run(departed(Hub(**people), {"jupyter-1": "1"}, last_names)) == expected


def test_an_id_that_the_hub_has_not_come_to_yet_is_kept():
    """As after its database was made anew: the first who log in must not cost all others their homes."""
    assert asyncio.run(departed(Hub(bob=2), {"jupyter-3": "3", "jupyter-1": "1"}, {"3": "cleo", "1": "alice"})) == ("jupyter-1",)


def test_a_hub_that_does_not_answer_tells_nothing():
    with pytest.raises(ServiceUnavailableError):
        asyncio.run(departed(Hub(is_away=True), {"jupyter-1": "1"}, {"1": "alice"}))
