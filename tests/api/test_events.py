"""Server-sent events: what happens reaches those who may know it, once, across a reconnection."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import requests

from tests.support.hub import ADMIN, wait_for


class Stream:
    """One open stream, read in a thread."""

    def __init__(self, place, user: str, last_id: int | None = None) -> None:
        headers = {"Authorization": f"token {place.hub.tokens[user]}"}
        if last_id is not None:
            headers["Last-Event-ID"] = str(last_id)
        self.answer = requests.get(f"{place.url}events", headers=headers, stream=True, timeout=30)
        assert self.answer.status_code == 200
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        self.socket = self.answer.raw.connection.sock
        self.messages: list[dict] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        fields: dict = {}
        try:
            for line in self.answer.iter_lines(chunk_size=1, decode_unicode=True):
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    self.messages.append({**json.loads(fields["data"]), "event_id": int(fields["id"]), "kind": fields["event"]})
                    fields = {}
        except Exception:  # noqa: BLE001 - the stream was closed under the reader
            return

    def close(self) -> None:
        """Cut the connection; closing the answer would wait for the reader."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def kinds(self) -> set[str]:
        return {message["kind"] for message in self.messages}

    def causes(self, allocation_id: str) -> list[str]:
        return [message["cause"] for message in self.messages if message["kind"] == "allocation" and message["id"] == allocation_id]


@contextmanager
def stream(place, user: str, last_id: int | None = None) -> Iterator[Stream]:
    opened = Stream(place, user, last_id)
    try:
        yield opened
    finally:
        opened.close()


def test_a_stream_tells_ones_own_session_and_not_anothers(place):
    with stream(place, "user0") as mine, stream(place, "user1") as other, stream(place, ADMIN) as admin:
        wait_for(lambda: mine.kinds() >= {"capacity", "quota"}, "a snapshot")
        held = place.launch("user0", "streamed", gpus=1).json()["id"]
        place.wait_state("user0", held, "active")
        wait_for(lambda: "ready" in mine.causes(held), "the session is ready")
        assert mine.causes(held)[:2] == ["starting", "started"]
        wait_for(lambda: "ready" in admin.causes(held), "the admin sees it")
        place.hub.factory.meter.seen({UUID(held): datetime.now(UTC)})  # as the keeper does
        wait_for(
            lambda: [m for m in mine.messages if m["kind"] == "cost" and m["allocation_id"].replace("-", "") == held.replace("-", "")], "a running cost", 20
        )
        wait_for(lambda: [m for m in other.messages if m["kind"] == "capacity" and sum(t["held"] for t in m["gpu_types"]) == 1], "others see the capacity")
        assert not other.causes(held)
        assert "user0" not in json.dumps(other.messages)
        place.call("DELETE", f"allocations/{held}", user="user0")
        wait_for(lambda: "stopped_by_user" in mine.causes(held), "the end")


def test_a_stream_resumes_after_the_last_id_without_a_gap_or_a_repetition(place):
    with stream(place, "user2") as first:
        held = place.launch("user2", "resumed").json()["id"]
        wait_for(lambda: "started" in first.causes(held), "the start")
        so_far = [m for m in tuple(first.messages) if m["kind"] == "allocation" and m["id"] == held]  # once: more may come meanwhile
        seen, last = [m["cause"] for m in so_far], so_far[-1]["event_id"]
    place.wait_ready("user2", held)
    stopped = place.call("DELETE", f"allocations/{held}", user="user2")
    assert stopped.status_code == 202, stopped.text
    place.wait_state("user2", held, "ended")
    with stream(place, "user2", last) as again:
        wait_for(lambda: "stopped_by_user" in again.causes(held), "what was missed")
        history = place.call("GET", f"allocations/{held}", user="user2").json()["history"]
        wait_for(lambda: again.causes(held)[-1] == history[-1]["cause"], "the last step")
        assert seen + again.causes(held) == [step["cause"] for step in history][1:]


def test_a_last_id_that_is_none_is_refused(place):
    answer = place.call("GET", "events", user="user0", headers={"Last-Event-ID": "x"})
    assert answer.status_code == 400


def test_torn_streams_leave_the_service_well(place):
    for _ in range(3):
        with stream(place, "user3") as torn:
            wait_for(lambda torn=torn: torn.messages, "a snapshot")
    assert place.call("GET", "capacity", user="user3").status_code == 200
