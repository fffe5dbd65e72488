"""The queue as a decision or the dispatcher saw it, to JSON and back. Rows are lists under their column names: there may be a thousand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from aiplatform_hub.domain.fairshare import Person
from aiplatform_hub.domain.planner import part_for
from aiplatform_hub.domain.policy import ClassReservation, Policy
from aiplatform_hub.domain.queue_values import Decision, LeftOut, Node, Plan, PlannerInput, ReasonCode, Reservation, Running, Start, Waiting
from aiplatform_hub.domain.queueing import ExpectedLength, Outlook, QueueEntry, Standing, Takeable, WaitCode, WaitReason, line_id

Json = Mapping[str, Any]


def standing_to_json(standing: Standing) -> dict[str, Any]:
    """Return how a request stood to the queue; the plan follows from the line. Who waits without a say in the decision is only counted."""
    values = {name: getattr(standing, name) for name in Standing.__slots__ if name not in {"line", "plan"}}
    return values if standing.line is None else {**values, "line": line_to_json(part_for(standing.line, standing.request_id, standing.plan))}


def standing_from_json(content: Json) -> Standing:
    """Return what was stored."""
    line = content.get("line")
    return Standing(**{**_known(Standing, content), "line": None if line is None else line_from_json(line)})


def line_to_json(line: PlannerInput) -> dict[str, Any]:
    """Return what the planner was told; each person who runs or waits for something stands there once. A plan asks for no other's rank."""
    people = sorted({*(session.person for session in line.running), *(request.person for request in line.waiting)})
    index = {person: number for number, person in enumerate(people)}
    left_out = {} if line.left_out == LeftOut() else {"left_out": {name: getattr(line.left_out, name) for name in LeftOut.__slots__}}
    return {
        **left_out,
        "now_seconds": line.now_seconds,
        "people": [[person.project, person.user, line.ranks[person]] for person in people],
        "nodes": _table(line.nodes, Node.__slots__, index),
        "running": _table(line.running, Running.__slots__, index),
        "waiting": _table(line.waiting, Waiting.__slots__, index),
        "policy": policy_to_json(line.policy),
    }


def line_from_json(content: Json) -> PlannerInput:
    """Return what was stored."""
    people = [Person(project, user) for project, user, _ in content["people"]]
    return PlannerInput(
        now_seconds=content["now_seconds"],
        nodes=tuple(Node(**row) for row in _rows(content["nodes"], Node, people)),
        running=tuple(Running(**row) for row in _rows(content["running"], Running, people)),
        waiting=tuple(Waiting(**row) for row in _rows(content["waiting"], Waiting, people)),
        ranks={Person(project, user): rank for project, user, rank in content["people"]},
        policy=policy_from_json(content["policy"]),
        left_out=LeftOut(**content.get("left_out", {})),  # lines of earlier versions name everybody
    )


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return what a plan found."""
    return {
        "starts": [[each.request_id, each.node, each.must_end_seconds] for each in plan.starts],
        "claims": sorted(plan.claims),
        "reservations": [[each.request_id, each.node, each.gpus, each.from_seconds] for each in plan.reservations],
        "decisions": [[d.request_id, d.position, d.code.value, d.node, d.until_seconds, list(d.because_of)] for d in plan.decisions],
    }


def plan_from_json(content: Json) -> Plan:
    """Return what was stored."""
    return Plan(
        starts=tuple(Start(*row) for row in content["starts"]),
        claims=frozenset(content["claims"]),
        reservations=tuple(Reservation(*row) for row in content["reservations"]),
        decisions=tuple(
            Decision(id_, position, ReasonCode(code), node, until, tuple(because_of)) for id_, position, code, node, until, because_of in content["decisions"]
        ),
    )


def policy_to_json(policy: Policy) -> dict[str, Any]:
    """Return every number of a policy: what is shipped may change."""
    reservations = [{name: getattr(each, name) for name in ClassReservation.__slots__} for each in policy.reservations]
    values = {name: getattr(policy, name) for name in Policy.__slots__}
    return {**{name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}, "reservations": reservations}


def policy_from_json(content: Json) -> Policy:
    """Return what was stored."""
    reservations = tuple(ClassReservation(**each) for each in content.get("reservations", ()))
    return replace(Policy(**_known(Policy, {**content, "reservations": ()})), reservations=reservations)


def outlook_to_json(outlook: Outlook) -> dict[str, Any]:
    """Return what the dispatcher knows."""
    return {
        "at_seconds": outlook.at_seconds,
        "usage": [[person.project, person.user, used] for person, used in outlook.usage.items()],
        "ends": {str(id_): at for id_, at in outlook.ends.items()},
        "lengths": [[*key, length.expected_seconds, length.safe_seconds] for key, length in outlook.lengths.items()],
        "blocked": [line_id(id_) for id_ in outlook.blocked],
        "takeable": [[line_id(id_), each.from_seconds, each.is_idle, each.is_ending] for id_, each in outlook.takeable.items()],
        "promised": [[line_id(id_), *map(line_id, sorted(sessions))] for id_, sessions in outlook.promised.items()],
        "claims": [line_id(id_) for id_ in outlook.claims],
        "wanted": [line_id(id_) for id_ in outlook.wanted],
    }


def outlook_from_json(content: Json) -> Outlook:
    """Return what was stored."""
    return Outlook(
        at_seconds=content["at_seconds"],
        usage={Person(project, user): used for project, user, used in content["usage"]},
        ends={UUID(id_): at for id_, at in content["ends"].items()},
        lengths={(user, template, gpus): ExpectedLength(*length) for user, template, gpus, *length in content["lengths"]},
        blocked=_ids(content, "blocked"),
        takeable={UUID(id_): Takeable(*each) for id_, *each in content["takeable"]},
        promised={UUID(id_): frozenset(map(UUID, sessions)) for id_, *sessions in content.get("promised", ())},
        claims=_ids(content, "claims"),
        wanted=_ids(content, "wanted"),
    )


class OutlookMemory:
    """The outlook that was read last: of the same JSON value it is the same, since it names everybody who used GPUs lately."""

    def __init__(self) -> None:
        self._known: tuple[Json | None, Outlook] = (None, Outlook())

    def of(self, stored: Json | None) -> Outlook:
        """Return what was stored; nothing before the dispatcher's first pass."""
        if stored is None:
            return Outlook()
        known, outlook = self._known
        if known is not stored:
            outlook = outlook_from_json(stored)
            self._known = (stored, outlook)
        return outlook


def entries_to_json(entries: Sequence[QueueEntry]) -> dict[str, Any]:
    """Return who waits, in order of the positions; each reason stands there once."""
    index: dict[WaitReason, int] = {}
    numbers: dict[int, int] = {}  # by identity: most reasons are the same object, and hashing one takes long
    for entry in entries:
        if id(entry.reason) not in numbers:
            numbers[id(entry.reason)] = index.setdefault(entry.reason, len(index))
    waiting = [[line_id(entry.id), numbers[id(entry.reason)]] for entry in entries]
    reasons = [{name: value for name in WaitReason.__slots__ if (value := getattr(reason, name)) not in {None, ()}} for reason in index]
    return {"waiting": waiting, "reasons": reasons}


def entries_from_json(content: Json) -> tuple[QueueEntry, ...]:
    """Return what was stored."""
    reasons = [_wait_reason(reason) for reason in content["reasons"]]
    return tuple(QueueEntry(UUID(id_), position, reasons[number]) for position, (id_, number) in enumerate(content["waiting"], 1))


def _ids(content: Json, name: str) -> frozenset[UUID]:
    return frozenset(map(UUID, content.get(name, ())))


def _wait_reason(content: Json) -> WaitReason:
    return WaitReason(
        **{
            **_known(WaitReason, content),
            "code": WaitCode(content["code"]),
            "because_of": tuple(content.get("because_of", ())),
            "room_of": tuple(content.get("room_of", ())),
        }
    )


def _table(rows: Sequence[Any], columns: Sequence[str], index: Mapping[Person, int]) -> dict[str, Any]:
    plain = [[index[value] if isinstance(value, Person) else value for value in (getattr(row, name) for name in columns)] for row in rows]
    return {"columns": list(columns), "rows": plain}


def _rows(table: Json, kind: Any, people: Sequence[Person]) -> list[dict[str, Any]]:
    rows = [_known(kind, dict(zip(table["columns"], row, strict=True))) for row in table["rows"]]
    return [{**row, "person": people[row["person"]]} if "person" in row else row for row in rows]


def _known(kind: Any, content: Json) -> dict[str, Any]:
    """Return what this version knows: another may have stored more."""
    return {name: value for name, value in content.items() if name in kind.__slots__}
