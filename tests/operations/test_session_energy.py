"""What sessions' GPUs took is added up look by look, over restarts and silent moments, and never to somebody else's session."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from sqlalchemy import select

from aiplatform_hub.domain.activity import GpuSample
from aiplatform_hub.domain.allocations import Allocation, EndCause, GpuDevice
from aiplatform_hub.domain.catalog import CarbonFactor
from aiplatform_hub.domain.energy import Energy
from aiplatform_hub.operations.activity_meter import ActivityMeter
from aiplatform_hub.operations.charge_reporter import ChargeReporter, ReportQuery
from aiplatform_hub.operations.energy import EnergyReader, EnergyRecorder
from aiplatform_hub.storage.activity import ActivityStore
from aiplatform_hub.storage.energy import EnergyStore
from aiplatform_hub.storage.energy_sums import EnergySums
from aiplatform_hub.storage.energy_tables import session_energy
from aiplatform_hub.storage.usage_sums import UsageSums
from tests.support.chain import NOON, Chain, person, want
from tests.support.charging import Charging

KWH = 3_600_000_000
"""In millijoules."""
FACTOR = CarbonFactor("first", NOON.replace(hour=0), Decimal(400))


@dataclass
class Lab:
    """Sessions whose GPUs count what they take: millijoules by UUID."""

    chain: Chain
    counters: dict[str, int | None] = field(default_factory=lambda: dict.fromkeys((f"GPU-{number}" for number in range(4)), 0))

    def sample(self, devices: Iterable[GpuDevice], at: datetime) -> dict[str, GpuSample]:
        known = {device.uuid: self.counters[device.uuid] for device in devices if device.uuid in self.counters}
        return {uuid: GpuSample(at, 50.0, 0, counter) for uuid, counter in known.items() if counter is not None}

    def start(self, user: int = 1, gpus: int = 1) -> Allocation:
        held = self.chain.take_up(person(user, "staff"), "", want(gpus))
        self.chain.meter.started(held.id, self.chain.clock())
        return self.chain.find(held)

    def look(self, seconds: float = 15, **took: int | None) -> None:
        """Let time pass in which GPUs took so much, and look, as a keeper that has just started; None is one that does not answer."""
        for name, millijoules in took.items():
            uuid = name.replace("gpu", "GPU-")
            self.counters[uuid] = None if millijoules is None else (self.counters[uuid] or 0) + millijoules
        self.chain.clock.move(seconds=seconds)
        chain = self.chain
        ActivityMeter(
            database=chain.database, allocations=chain.allocations, devices=chain.devices, activity=ActivityStore(), sampler=self,
            policy=chain.current_policy, clock=chain.clock, energy=EnergyRecorder(energies=EnergyStore()),
        ).sample()  # fmt: skip

    def taken(self, allocation: Allocation, *factors: CarbonFactor) -> Energy | None:
        return self.reader(*factors).of_session(self.chain.find(allocation))

    def reader(self, *factors: CarbonFactor) -> EnergyReader:
        catalog = replace(self.chain.catalog, carbon_factors=factors)
        return EnergyReader(database=self.chain.database, catalog=catalog, energies=EnergyStore(), sums=EnergySums())


@pytest.fixture
def lab(chain: Chain) -> Lab:
    return Lab(chain)


def test_a_session_has_what_its_gpus_took_from_its_first_look_on(lab) -> None:
    one = lab.start(gpus=2)
    first, second = (device.replace("GPU-", "gpu") for device in one.devices)
    assert lab.taken(one) is None
    lab.look(**{first: 7 * KWH, second: 7 * KWH})
    assert lab.taken(one) is None, "what they took before anybody looked may be another's"
    lab.look(**{first: KWH, second: KWH // 2})
    lab.look(**{first: 0, second: KWH // 2})
    assert lab.taken(one, FACTOR) == Energy(Fraction(2), timedelta(seconds=60), Fraction(800))
    assert lab.taken(one) == Energy(Fraction(2), timedelta(seconds=60), None)


def test_a_gpu_that_was_silent_for_a_while_has_not_lost_what_it_counted(lab) -> None:
    one = lab.start()
    (name,) = (device.replace("GPU-", "gpu") for device in one.devices)
    lab.look()
    counted = lab.counters[one.devices[0]]
    lab.look(**{name: None})
    lab.counters[one.devices[0]] = counted
    lab.look(seconds=600, **{name: KWH})
    assert lab.taken(one) == Energy(Fraction(1), timedelta(seconds=615), None)


def test_the_next_session_on_a_gpu_pays_nothing_of_what_was_before(lab) -> None:
    one = lab.start()
    (name,) = (device.replace("GPU-", "gpu") for device in one.devices)
    lab.look()
    lab.look(**{name: KWH})
    lab.chain.meter.ended(one.id, lab.chain.clock(), EndCause.STOPPED)
    other = lab.start(user=2)
    assert other.devices == one.devices
    lab.look(**{name: 5 * KWH})
    assert lab.taken(other) is None
    lab.look(**{name: 2 * KWH})
    taken = [lab.taken(each) for each in (one, other)]
    assert [each.kwh if each else None for each in taken] == [1, 2]


def test_what_is_over_midnight_is_of_two_days(lab) -> None:
    one = lab.start()
    (name,) = (device.replace("GPU-", "gpu") for device in one.devices)
    lab.look(seconds=12 * 3600 - 5)
    lab.look(**{name: 15_000})
    with lab.chain.database.read() as connection:
        days = connection.execute(select(session_energy.c.day, session_energy.c.millijoules).order_by(session_energy.c.day)).all()
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    assert [tuple(day) for day in days] == [(midnight - timedelta(days=1), 5_000), (midnight, 10_000)]


def test_reports_say_what_was_measured_and_leave_empty_what_was_not(lab) -> None:
    one, other = lab.start(), lab.start(user=2)
    names = [device.replace("GPU-", "gpu") for each in (one, other) for device in each.devices]
    lab.counters[other.devices[0]] = None
    lab.look()
    lab.look(**{names[0]: KWH})
    for each in (one, other):
        lab.chain.meter.ended(each.id, lab.chain.clock(), EndCause.STOPPED)
    (row, unknown), (total,) = (report(lab, FACTOR, "user")[name] for name in ("rows", "totals"))
    assert (row["keys"]["user"], row["energy_kwh"], row["carbon_kg"]) == (one.user_name, "1.000000", "0.400000")
    assert (unknown["keys"]["user"], unknown["energy_kwh"], unknown["carbon_kg"]) == (other.user_name, None, None)
    assert (total["energy_kwh"], total["carbon_kg"]) == ("1.000000", "0.400000")
    day = NOON.replace(hour=0)
    assert lab.reader(FACTOR).of_span(day, day + timedelta(days=1), {"user": one.user_name}) == Energy(Fraction(1), timedelta(seconds=15), Fraction(400))
    assert lab.reader().of_span(day, day + timedelta(days=1), {"user": other.user_name}) is None
    later = replace(FACTOR, effective_from=NOON + timedelta(days=9))
    (total,) = report(lab, later)["totals"]
    assert (total["energy_kwh"], total["carbon_kg"]) == ("1.000000", None), "nobody knows the factor of that day"


def report(lab: Lab, factor: CarbonFactor, *groups: str):
    charging = Charging(lab.chain.database, lab.chain.catalog.rate_cards, lab.chain.clock)
    made = ChargeReporter(
        database=lab.chain.database,
        charges=charging.charges,
        charge_sums=charging.sums,
        credits_=charging.credits,
        sums=UsageSums(),
        cards=charging.cards,
        clock=lab.chain.clock,
        energy=EnergySums(),
        factors=(factor,),
    )
    stream = io.BytesIO()
    day = NOON.replace(hour=0)
    made.write(ReportQuery(day, day + timedelta(days=1), "json", groups), stream)
    return json.loads(stream.getvalue())
