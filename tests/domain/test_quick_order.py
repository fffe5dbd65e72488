"""What is quick gives the same as what explains itself: ranks, and the estimate of one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain import queueing
from aiplatform_hub.domain.fairshare import Person, _band, entitlements, ranks_of
from aiplatform_hub.domain.limits import Capacity
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting
from aiplatform_hub.domain.queueing import Outlook, RequestMemory, View
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.domain.wait_estimates import PLAYED, Forecast, OneEstimate, PastRequest, _Coming, estimates

USES = st.one_of(st.sampled_from([0.0, 5e-324, 1e-300, 1.0]), st.floats(0, 1e9))
PEOPLE = st.builds(Person, st.sampled_from(["lab", "course", "thesis"]), st.sampled_from(["ana", "ben", "eva", "ida", "leo"]))
POLICIES = (SHIPPED, replace(SHIPPED, level_ratio=1.0), replace(SHIPPED, level_ratio=2.0, project_shares={"lab": 3.0, "course": 0.0}))


@given(st.dictionaries(PEOPLE, USES, max_size=15), st.sampled_from(POLICIES))
@settings(deadline=None)
def test_ranks_alone_are_those_of_the_entitlements(usage, policy):
    placed = entitlements(usage, policy)
    keys = {person: (_band(of.project_level, policy), _band(of.user_level, policy)) for person, of in placed.items()}
    in_order = sorted(set(keys.values()), reverse=True)
    assert ranks_of(usage, policy) == {person: in_order.index(key) for person, key in keys.items()}
    assert list(ranks_of(usage, policy)) == list(usage)


def forecast(waiting: int, gpus: int) -> tuple[Forecast, list[str]]:
    now, hour = 1_800_000_000.0, 3600.0
    people = [Person("lab", f"user{number}") for number in range(waiting + 4)]
    running = tuple(Running(f"r{n}", people[n], 2, "here", now + (n + 1) * hour) for n in range(4))
    asked = [Waiting(f"w{n}", people[4 + n], 1 + n % 3, "h100", now - (waiting - n) * 600, hour * (1 + n % 4), 2 * hour) for n in range(waiting)]
    mine = Waiting("mine", Person("lab", "me"), gpus, "h100", now, 2 * hour, 3 * hour)
    kinds = {each.id: SessionKind(each.person.user, each.gpus, "pytorch") for each in (*running, *asked, mine)}
    lengths = SessionLengths()
    for number in range(60):
        lengths = lengths.with_finished(SessionKind(f"user{number % 7}", 1 + number % 3, "pytorch"), 900.0 * (1 + number % 11))
    past = tuple(
        PastRequest(now - 5 * 86_400 + number * 4000, people[number % 4], SessionKind(f"user{number % 4}", 1 + number % 2, "pytorch"), "h100")
        for number in range(100)
    )
    ranks = {person: number % 5 for number, person in enumerate((*people, mine.person))}
    line = PlannerInput(now, (Node("here", "h100", 8),), running, (*asked, mine), ranks, SHIPPED)
    return Forecast(line, kinds, {each.id: now - hour for each in running}, lengths, past), [each.id for each in line.waiting]


@pytest.mark.parametrize("waiting", [0, 3, PLAYED, 20])
def test_the_estimate_of_one_is_that_of_everybody(waiting):
    memory = OneEstimate()
    for gpus in (1, 2, 4):
        given_, ids = forecast(waiting, gpus)
        everybody = estimates(given_)
        assert {id_: memory.of(given_, id_) for id_ in ids} == everybody | {id_: None for id_ in ids if id_ not in everybody}
        assert memory.of(given_, "nobody") is None


def asked_for(given_: Forecast, gpus: int, *, now: float = 0.0, size: int = 8) -> Forecast:
    """Return the same instant, or a later one, or a smaller place, with another GPU count of the last request."""
    line = given_.line
    mine = replace(line.waiting[-1], gpus=gpus)
    kinds = {**given_.kinds, mine.id: replace(given_.kinds[mine.id], gpus=gpus)}
    nodes = (Node("here", "h100", size),)
    return replace(given_, kinds=kinds, line=replace(line, now_seconds=line.now_seconds + now, nodes=nodes, waiting=(*line.waiting[:-1], mine)))


@pytest.mark.parametrize("waiting", [0, 3, 20])
def test_what_is_told_once_for_one_instant_counts_for_no_other(waiting):
    memory, (given_, _) = OneEstimate(), forecast(waiting, 1)
    lengths = given_.lengths.with_finished(SessionKind("user1", 2, "pytorch"), 50_000.0)
    ranks = {person: -rank for person, rank in given_.line.ranks.items()}
    scenes = [asked_for(given_, gpus) for gpus in (1, 2, 4)]
    scenes += [asked_for(given_, 2, now=7200.0), asked_for(given_, 2, size=10), replace(asked_for(given_, 2), lengths=lengths, past=given_.past[:40])]
    scenes += [replace(given_, past=given_.past[50:]), replace(given_, line=replace(given_.line, ranks=ranks))]
    for scene in (*scenes, *reversed(scenes)):
        assert memory.of(scene, "mine") == estimates(scene).get("mine")


def test_requests_of_earlier_days_are_read_anew_for_anything_that_they_depend_on():
    given_, _ = forecast(3, 1)
    coming, line = _Coming(given_), given_.line
    assert coming.is_of(asked_for(given_, 4))
    others = {
        "instant": asked_for(given_, 1, now=1.0),
        "place": asked_for(given_, 1, size=10),
        "past": replace(given_, past=given_.past[1:]),
        "lengths": replace(given_, lengths=given_.lengths.with_finished(SessionKind("user1", 2, "pytorch"), 50_000.0)),
        "ranks": replace(given_, line=replace(line, ranks={person: -rank for person, rank in line.ranks.items()})),
        "policy": replace(given_, line=replace(line, policy=replace(SHIPPED, backfill_quantile=0.5))),
        "running": replace(given_, line=replace(line, running=line.running[1:])),
    }
    assert [name for name, scene in others.items() if coming.is_of(scene)] == []


def test_places_are_found_once_for_one_instant_and_anew_for_another(monkeypatch):
    found = []
    monkeypatch.setattr(queueing, "ranks_of", lambda usage, policy: found.append(len(usage)) or ranks_of(usage, policy))
    memory, outlook = RequestMemory(), Outlook(at_seconds=0.0, usage={Person("lab", "ana"): 5.0, Person("lab", "ben"): 9.0})
    view, eva = View(60.0, (), (), Capacity(0, 0)), Person("lab", "eva")
    for seen, people in ((view, []), (view, []), (view, [eva]), (view, [eva]), (view, []), (replace(view, now_seconds=61.0), [])):
        expected = ranks_of({**outlook.usage, **dict.fromkeys(people, 0.0)}, SHIPPED)
        assert memory.ranks(seen, outlook, SHIPPED, people) == expected
    assert found == [2, 3, 2, 2]
