"""Each guard is taken out of a copy of the project, and a named test must go red there.

A guard whose absence no test notices may as well not exist. A row whose text is not
found any more fails too, so the table follows the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
MIGRATION = "aiplatform_hub/storage/alembic/versions/0001_first_tables.py"
LEASE_INDEX = '"uq_gpu_leases_open_device",\n        "gpu_leases",\n        ["device_uuid"],\n        unique=True,'


@dataclass(frozen=True)
class Guard:
    name: str
    file: str
    text: str
    """The guard as it stands in the code."""
    without: str
    """The code without it."""
    test: str
    """What goes red."""


GUARDS = (
    Guard("lease constraint", MIGRATION, LEASE_INDEX, LEASE_INDEX.replace("True", "False"), "tests/operations/test_hold.py::test_two_open_leases_of_one_device_are_impossible"),
    Guard("lock on SQLite", "aiplatform_hub/storage/database.py", 'self.writer, "BEGIN IMMEDIATE"', 'self.writer, "BEGIN"', "tests/operations/test_hold_lock.py -k sqlite"),
    Guard("lock on PostgreSQL", "aiplatform_hub/storage/devices.py", "_POOL.with_for_update(of=capacity_pools)", "_POOL", "tests/operations/test_hold_lock.py -k postgresql"),
    Guard("GPUs of one node", "aiplatform_hub/domain/limits.py", "in self._free_nodes.get(gpu_type, ()) if len(free) >= amount]", "in [self.free_devices(gpu_type)] if len(free) >= amount]", "tests/domain/test_cluster_decision.py"),
    Guard("GPUs read again after a wait", "aiplatform_hub/storage/devices.py", 'if first["pool_version"] != first["seen_version"]:', "if False:", "tests/operations/test_cluster_capacity.py -k stale_read"),
    Guard("new node kept for those who wait", "aiplatform_hub/domain/cluster.py", "    board.reserve(amount)\n", "", "tests/domain/test_cluster_slots.py"),
    Guard("strict type of counts", "aiplatform_hub/domain/options.py", "if type(value) is int and allowed.minimum", "if isinstance(value, (int, float)) and allowed.minimum", "tests/domain/test_resolve_options.py"),
    Guard("fsync of the record", "aiplatform_hub/session_runner.py", "            os.fsync(self._fd)\n", "", "tests/clients/test_session_durability.py"),
    Guard("fsync of the record's folder", "aiplatform_hub/session_runner.py", "            os.fsync(self._folder_fd)\n", "", "tests/clients/test_session_durability.py"),
    Guard("start time in a process's identity", "aiplatform_hub/clients/identity.py", "int(fields[_START_TICKS]) == identity.start_ticks and ", "", "tests/clients/test_session_record.py -k reused_pid"),
    Guard("end never before start", "aiplatform_hub/operations/usage_meter.py", "ended_at=max(ended_at, interval.started_at)", "ended_at=ended_at", "tests/operations/test_usage_meter.py -k never_before"),
    Guard("one close per interval", "aiplatform_hub/operations/usage_meter.py", "            if allocation is None or not allocation.is_open:\n                return False\n            cause =", "            cause =", "tests/operations/test_usage_meter.py -k eight_threads"),
    Guard("chain", "aiplatform_hub/operations/usage_meter.py", "previous_hash=head.hash", 'previous_hash=""', "tests/operations/test_ledger.py -k untouched"),
    Guard("options checked at each start", "aiplatform_hub/hub/spawner.py", "resolve(options, catalog=self.platform.factory.catalog, caller=self.caller,", "resolve({**options, 'gpus': int(options.get('gpus', 0))}, catalog=self.platform.factory.catalog, caller=self.caller,", "tests/hub/test_doors.py -k bad_stored_options"),
    Guard("no start by GET", "aiplatform_hub/hub/spawner.py", "        raise confirm_on_launch(query_data, self.name, self.base_url)", "        return options_from_strings({k: [str(v) for v in vs] for k, vs in query_data.items()})", "tests/hub/test_doors.py -k link_with_options"),
    Guard("adoption waits for a stopped server", "aiplatform_hub/hub/spawner.py", "            check_while_it_runs(self.server, self._has_ended)\n", "            pass\n", "tests/hub/test_restart.py -k stopped_by_a_signal"),
    Guard("scope of the route", "aiplatform_hub/services/platform/api/allocations.py", "        if not self.principal.may(READ, allocation.user_name, server_name=allocation.server_name):\n            await self.require_read(allocation)\n", "", "tests/api/test_rights.py"),
    Guard("a silent GPU is not idle", "aiplatform_hub/domain/activity.py", "if not mine or any(device not in now for device in mine):", "mine = tuple(device for device in mine if device in now)\n    if not mine:", "tests/domain/test_activity.py"),
    Guard("memory that grows is use", "aiplatform_hub/domain/activity.py", "now[device].memory_bytes - sample.memory_bytes >= growth_below_bytes", "False", "tests/operations/test_activity_meter.py -k grows and sqlite"),
    Guard("growth that nobody could see is not idle", "aiplatform_hub/domain/activity.py", "if len(recent) == len(mine) else Activity.UNKNOWN", "", "tests/domain/test_activity.py"),
    Guard("a gap is not idle", "aiplatform_hub/domain/activity.py", " or at - start > LONGEST_GAP or", " or", "tests/domain/test_activity.py -k longer_gap"),
    Guard("activity ends with its session", "aiplatform_hub/operations/activity_meter.py", "                self._activity.end_session(connection, id_, one.session_ended_at)", "                pass", "tests/operations/test_activity_meter.py -k end_with and sqlite"),
    Guard("activity ends at its session's end", "aiplatform_hub/storage/activity.py", ".values(ended_at=ended_at, last_seen_at=ended_at))", ".values(ended_at=activity_intervals.c.last_seen_at))", "tests/operations/test_activity_meter.py -k beyond and sqlite"),
    Guard("no idleness after a clock that was set back", "aiplatform_hub/operations/activity_meter.py", "            self.over.append(last.id)", "            pass", "tests/operations/test_activity_meter.py -k set_back and sqlite"),
    Guard("one sample of storage a day", "aiplatform_hub/storage/storage_samples.py", '.on_conflict_do_nothing(index_elements=["user_name", "day"])', "", "tests/operations/test_storage_samples.py -k first_look and sqlite"),
    Guard("a sample of storage never changes", "aiplatform_hub/storage/alembic/versions/0023_storage_samples.py", "BEFORE {event} ON storage_samples BEGIN", "BEFORE {event} ON storage_samples WHEN false BEGIN", "tests/operations/test_storage_samples.py -k again and sqlite"),
    Guard("a sample speaks for its day alone", "aiplatform_hub/domain/storage_samples.py", "max(sample.day, start), min(sample.day + timedelta(days=1), end)", "sample.day, sample.day + timedelta(days=1)", "tests/domain/test_storage_charges.py"),
    Guard("energy is of who held the GPU at both looks", "aiplatform_hub/operations/energy.py", "if holder == allocation.id else None", "", "tests/operations/test_session_energy.py -k sqlite"),
    Guard("a counter that began anew says nothing", "aiplatform_hub/domain/energy.py", " and now.counter_millijoules >= before.counter_millijoules", "", "tests/domain/test_energy.py"),
    Guard("power speaks for no missing look", "aiplatform_hub/domain/energy.py", " or now.at - before.at > LONGEST_GAP", "", "tests/domain/test_energy.py"),
    Guard("parts of GPU time are the whole", "aiplatform_hub/operations/cost_reporter.py", "min(one.gpu_microseconds, self.gpu - self.used - self.idle)", "one.gpu_microseconds", "tests/operations/test_activity_sums.py -k exceed and sqlite"),
    Guard("activity clipped to the session", "aiplatform_hub/storage/activity_sums.py", "Span(greatest(usage.start, number(activities.c.started_at)), least(usage.end, ended))", "Span(number(activities.c.started_at), ended)", "tests/operations/test_activity_sums.py -k pieces_one_by_one and sqlite"),
    Guard("single GPUs for admins alone", "aiplatform_hub/services/platform/api/catalog.py", "        if self.principal.sees_everybody:", "        if True:", "tests/api/test_gpu_activity.py -k others"),
    Guard("notice told once", "aiplatform_hub/storage/notifications.py", "return statement.on_conflict_do_nothing(index_elements=[column])", "return statement", "tests/operations/test_notices.py -k told_once"),
    Guard("unknown is not unopened", "aiplatform_hub/domain/grace.py", "    if active_at is None or active_at < allocation.started_at:\n", "    if active_at is None:\n", "tests/operations/test_grant_grace.py -k unknown"),
    Guard("no release before it was told", "aiplatform_hub/domain/grace.py", "if until is not None and now >= until else", "if until is None or now >= until else", "tests/operations/test_grant_grace.py -k before_they_were_told"),
    Guard("own notices only", "aiplatform_hub/operations/notices.py", "if found is None or found.user_name != by:", "if found is None:", "tests/operations/test_notices.py -k only_the_person"),
    Guard("no redirect of a webhook", "aiplatform_hub/clients/signed_post.py", "allow_redirects=False", "allow_redirects=True", "tests/clients/test_webhook_notifier.py -k redirect"),
    Guard("time that nobody saw pass does not count", "aiplatform_hub/operations/dispatcher.py", "        self._interest.tick()\n", "", "tests/operations/test_queue_interest.py -k sqlite"),
    Guard("wrong policy is not stored", "aiplatform_hub/operations/policies.py", '        if reading.problems:\n            raise configuration_error("The policy", reading.problems)\n', "", "tests/operations/test_policies_in_force.py -k anything_wrong"),
    Guard("use recounted by another half-life", "aiplatform_hub/operations/demand_history.py", "if _weighing(before) != _weighing(self._policy):", "if False:", "tests/operations/test_policies_in_force.py -k half_life"),
    Guard("turns of those who are equal", "aiplatform_hub/domain/queue_order.py", "        owner.held += 0 if request.blocked_by else request.gpus\n", "", "tests/operations/test_queue_turns.py -k sqlite"),
    Guard("renamed person asked for by id", "aiplatform_hub/services/keeper/dispatch.py", "            user = await self._hub.user_of_id(user_id)\n", "", "tests/keeper/test_dispatch_duty.py -k renamed"),
    Guard("a day of sums is one transaction", "aiplatform_hub/storage/charge_rollup.py", "        self.forget(connection, day.start)\n", "        self.forget(connection, day.start)\n        connection.commit()\n", "tests/operations/test_charge_rollup.py -k killed and sqlite"),
    Guard("no sums of a day that is not over", "aiplatform_hub/operations/charge_rollup.py", "        if day + DAY > now:", "        if False:", "tests/operations/test_charge_rollup.py -k not_over and sqlite"),
    Guard("sums of a changed day are not read", "aiplatform_hub/domain/charge_sums.py", "    return not day.is_stale and ", "    return ", "tests/domain/test_charge_sums.py"),
    Guard("what ends while a day is summed", "aiplatform_hub/operations/charge_rollup.py", "            if is_other or any(first <= made.number <= last for first, last in changed):", "            if is_other:", "tests/operations/test_charge_rollup.py -k meanwhile or summed and sqlite"),
)  # fmt: skip


def copy_of_project(target: Path) -> Path:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    for name in filter(None, tracked):
        if (PROJECT / name).is_file() and not (PROJECT / name).is_symlink():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, target / name)
    return target


@pytest.mark.parametrize("guard", GUARDS, ids=[guard.name.replace(" ", "-") for guard in GUARDS])
def test_without_its_guard_a_test_goes_red(guard: Guard, world_readable_dir: Path) -> None:
    copy = copy_of_project(world_readable_dir)
    file = copy / guard.file
    code = file.read_text()
    assert code.count(guard.text) == 1, f"the guard “{guard.name}” is not where this table says: {guard.file}"
    file.write_text(code.replace(guard.text, guard.without))
    where, _, selection = guard.test.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", where, *(["-k", selection] if selection else [])]
    done = subprocess.run(command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)}, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, f"nothing noticed that “{guard.name}” is gone:\n{done.stdout[-3000:]}{done.stderr[-1000:]}"
    assert "AssertionError" in done.stdout or "Failed" in done.stdout or "Error" in done.stdout
