"""Limits bind where the machine permits it, and the admin is told where they do not."""

import signal
from pathlib import Path
from uuid import uuid4

import pytest
from session_support import until

from aiplatform_hub.clients.cgroups import Cgroups
from aiplatform_hub.clients.processes import stop_session

MIB = 1024**2
HOG = "data = bytearray(200 * 1024 * 1024); print('unlimited')"


def test_each_resource_is_enforced_or_says_why_not():
    for one in Cgroups.detect().enforcement():
        assert one.resource in {"memory", "cpu"}
        assert one.is_enforced != bool(one.reason)


def test_hog_over_its_memory_limit_is_recorded_as_out_of_memory(sessions):
    cgroups = Cgroups.detect()
    memory, _ = cgroups.enforcement()
    record = sessions.python(HOG, cgroups=cgroups, memory_bytes=64 * MIB)
    ended = sessions.wait(record.allocation_id)
    if memory.is_enforced:
        assert (ended.exit_signal, ended.is_out_of_memory) == (signal.SIGKILL, True)
    else:
        # Not skipped: where the machine forbids limits, it has to say so, and the hog lives.
        print(f"\nMEMORY LIMITS ARE NOT ENFORCED HERE: {memory.reason}")
        assert memory.reason.endswith(".")
        assert ended.exit_code == 0


def test_server_within_its_limit_runs_and_its_group_goes_with_it(sessions):
    cgroups = Cgroups.detect()
    record = sessions.shell("cat /proc/self/cgroup; exec sleep 60", cgroups=cgroups, memory_bytes=64 * MIB, cpu_cores=1)
    folders = sessions.spool.meta(record.allocation_id).cgroups
    until(lambda: sessions.log(record).count("\n") > 1)
    assert sessions.log(record).count(f"/aiplatform/{record.allocation_id}") == len(folders) == len(cgroups.parents)
    assert all(folder.is_dir() for folder in folders)
    stop_session(sessions.spool, record.allocation_id, 5)
    assert not any(folder.exists() for folder in folders)


def test_daemon_that_wiped_its_environment_is_found_by_its_group(sessions):
    cgroups = Cgroups.detect()
    record = sessions.shell("(env -i setsid sleep 60 &); exec sleep 60", cgroups=cgroups, memory_bytes=64 * MIB)
    if not cgroups.parents:
        print("\nNO CONTROL GROUPS HERE: a process that wipes its environment and outlives its runner is not found")
        return
    folder = sessions.spool.meta(record.allocation_id).cgroups[0]
    until(lambda: len((folder / "cgroup.procs").read_text().split()) == 2)
    sessions.kill_runner(record)
    stop_session(sessions.spool, record.allocation_id, 5)
    assert not folder.exists()


def test_runner_stays_outside_the_limit(sessions):
    record = sessions.start("sleep", "60", cgroups=Cgroups.detect(), memory_bytes=64 * MIB)
    assert str(record.allocation_id) not in Path(f"/proc/{record.runner.pid}/cgroup").read_text()


def _v2(tmp_path, controllers):
    """Return the files that a machine with version 2 shows; the kernel's part in them is not played."""
    root = tmp_path / "cgroup"
    own = root / "aiplatform.service"
    for group in (own, own / "aiplatform"):
        group.mkdir(parents=True)
        (group / "cgroup.subtree_control").write_text(controllers)
    (own / "cgroup.controllers").write_text(controllers)
    mounts, membership = tmp_path / "mounts", tmp_path / "membership"
    mounts.write_text(f"cgroup2 {root} cgroup2 rw 0 0\n")
    membership.write_text("0::/aiplatform.service\n")
    return own, Cgroups.detect(mounts, membership)


def test_v2_without_delegation_says_which_setting_brings_it(tmp_path):
    own, cgroups = _v2(tmp_path, "memory")
    memory, cpu = cgroups.enforcement()
    assert memory.is_enforced
    assert cpu.reason == f"The cpu controller is not delegated to {own}; a systemd unit needs Delegate=yes."


def test_v2_groups_lie_below_the_delegated_one(tmp_path):
    own, cgroups = _v2(tmp_path, "cpu memory")
    assert cgroups.parents == {"memory": own / "aiplatform", "cpu": own / "aiplatform"}


def test_machine_without_control_groups_says_so(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("tmpfs /tmp tmpfs rw 0 0\n")
    cgroups = Cgroups.detect(mounts, mounts)
    assert [one.reason for one in cgroups.enforcement()] == ["This machine has no control groups."] * 2
    assert cgroups.create(uuid4(), memory_bytes=MIB, cpu_cores=1) is None


def test_group_that_may_not_be_written_says_so(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("cgroup /proc/version cgroup rw,memory 0 0\n")
    memory, cpu = Cgroups.detect(mounts, mounts).enforcement()
    assert memory.reason == "/proc/version/aiplatform cannot be written: Not a directory."
    assert cpu.reason == "The kernel's cpu control group is not mounted."


@pytest.mark.parametrize("cores", [1, 3])
def test_cpu_limit_is_the_cores_that_were_asked_for(cores):
    cgroups, allocation_id = Cgroups.detect(), uuid4()
    paths = cgroups.create(allocation_id, memory_bytes=None, cpu_cores=cores)
    try:
        if "cpu" not in cgroups.parents:
            assert cgroups.refusals["cpu"].endswith(".")
        elif cgroups.version == 1:
            assert (cgroups.parents["cpu"] / str(allocation_id) / "cpu.cfs_quota_us").read_text().strip() == str(100_000 * cores)
        else:
            assert (paths.folders[0] / "cpu.max").read_text().split() == [str(100_000 * cores), "100000"]
    finally:
        cgroups.remove(allocation_id)
