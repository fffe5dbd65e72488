"""What admins tell everybody stands on the hub's own pages, before the login too, and never keeps one of them from answering."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import requests

from aiplatform_hub.domain.announcements import Announcement, Draft, Level
from tests.support.hub import ADMIN, USERS, RealHub, real_hub, wait_for

HOSTILE = "The disk <script>alert(1)</script> is \"full\" & 'slow'"
ESCAPED = "The disk &lt;script&gt;alert(1)&lt;/script&gt; is &#34;full&#34; &amp; &#39;slow&#39;"
PATIENCE = 90
PAGES = {"/hub/spawn": 200, "/hub/token": 200, f"/hub/user/{USERS[0]}/none/": 424, "/hub/no-such-page": 404}
"""Of a person, with the status of each."""


@pytest.fixture(scope="module")
def hub() -> Iterator[RealHub]:
    with real_hub() as started:
        yield started


def announce(hub: RealHub, text: str, *, starts_in: timedelta = timedelta(), is_maintenance: bool = False) -> Announcement:
    now = hub.factory.clock()
    draft = Draft(text=text, level=Level.CRITICAL, starts_at=now + starts_in, ends_at=now + starts_in + timedelta(hours=2), is_maintenance=is_maintenance)
    return hub.factory.announcements.announce(draft, by=ADMIN)


def login_page(hub: RealHub) -> str:
    answer = requests.get(f"{hub.url}/hub/login", timeout=30)
    assert answer.status_code == 200
    return answer.text


def test_pages_of_the_hub_tell_what_admins_tell(hub: RealHub) -> None:
    assert 'id="announcements"' not in login_page(hub)
    told = announce(hub, HOSTILE)
    announce(hub, "Only from tomorrow.", starts_in=timedelta(days=1))
    window = announce(hub, "The cooling is repaired.", starts_in=timedelta(days=1), is_maintenance=True)
    wait_for(lambda: ESCAPED in login_page(hub), "who is not logged in is told", PATIENCE, 1)
    pages = {path: (USERS[0], status) for path, status in PAGES.items()} | {"/hub/admin": (ADMIN, 200)}
    for path, (user, status) in pages.items():
        answer = hub.browser(user).session.get(f"{hub.url}{path}", timeout=30)
        assert (answer.status_code, ESCAPED in answer.text, "alert(1)</script>" in answer.text) == (status, True, False), path
        assert f'<time datetime="{window.starts_at:%Y-%m-%dT%H:%M}' in answer.text, path
        assert "Only from tomorrow" not in answer.text, path
        assert answer.text.count('id="announcements"') == 1, path

    hub.factory.announcements.withdraw(told.id, by=ADMIN)
    wait_for(lambda: ESCAPED not in login_page(hub), "nor is it told any longer", PATIENCE, 1)
    assert "The cooling is repaired." in login_page(hub)


def test_without_its_database_the_hub_tells_what_it_knew(hub: RealHub) -> None:
    announce(hub, "Bring your own coffee.")
    wait_for(lambda: "Bring your own coffee." in login_page(hub), "it is told", PATIENCE, 1)
    hub.factory.close()
    for file in hub.settings.data_dir.glob("aiplatform.sqlite*"):
        file.rename(file.with_name(f"away-{file.name}"))
    (hub.settings.data_dir / "aiplatform.sqlite").mkdir()
    wait_for(lambda: "could not be written" in hub.log(lines=400), "the hub misses its database", PATIENCE, 1)
    assert "Bring your own coffee." in login_page(hub)
