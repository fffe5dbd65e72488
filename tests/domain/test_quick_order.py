"""What is quick gives the same as what explains itself: ranks, and the estimate of one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform_hub.domain.fairshare import Person, _band, entitlements, ranks_of
from aiplatform_hub.domain.policy import SHIPPED
from aiplatform_hub.domain.queue_values import Node, PlannerInput, Running, Waiting
from aiplatform_hub.domain.session_lengths import SessionKind, SessionLengths
from aiplatform_hub.domain.wait_estimates import PLAYED, Forecast, OneEstimate, PastRequest, estimates

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
