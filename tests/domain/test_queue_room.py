"""When sessions make room at the latest is said only where something bounds enough of them."""

from __future__ import annotations

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.queue_room import Room, Rooms
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting

NOW = 1_000_000.0
ANA, BEN, CEM = (Person("lab", name) for name in ("ana", "ben", "cem"))


def runs(id_, person, gpus, *, takeable=None, must_end=None, node="box"):
    return Running(id_, person, gpus, node, NOW, takeable, must_end_seconds=must_end)


def room(running, *, person=CEM, gpus=2, ranks=None):
    nodes = (Node("box", "h100", 4), Node("other", "h100", 4))
    asked = Waiting("q", person, gpus, "h100", NOW, 0, 0)
    full = (*running, runs("rest", ANA, 4 - sum(s.gpus for s in running if s.node == "box")), runs("elsewhere", ANA, 4, node="other"))
    given = PlannerInput(NOW, nodes, full, (asked,), ranks or {ANA: 1, BEN: 1, CEM: 0}, SHIPPED)
    return Rooms(given).of(asked)


def test_the_first_bound_end_that_is_enough_is_told():
    assert room([runs("a", ANA, 2, takeable=NOW + 500), runs("b", BEN, 2, takeable=NOW + 100)]) == Room(NOW + 100, ("b",))


def test_several_sessions_make_room_together():
    assert room([runs("a", ANA, 1, takeable=NOW + 500), runs("b", BEN, 1, must_end=NOW + 100)]) == Room(NOW + 500, ("b", "a"))


def test_nothing_is_told_where_nothing_bounds_enough_of_them():
    assert room([runs("a", ANA, 1, takeable=NOW + 500), runs("b", BEN, 2)]) is None


def test_a_cap_bounds_nothing_for_who_is_not_more_entitled():
    sessions = [runs("a", ANA, 2, takeable=NOW + 500)]
    assert room(sessions, ranks={ANA: 0, BEN: 0, CEM: 0}) is None
    assert room([runs("a", ANA, 2, must_end=NOW + 500)], ranks={ANA: 0, BEN: 0, CEM: 0}) == Room(NOW + 500, ("a",))


def test_what_is_overdue_makes_room_now():
    assert room([runs("a", ANA, 2, takeable=NOW - 500)]) == Room(NOW, ("a",))
