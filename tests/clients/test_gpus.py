"""GPUs are what NVML reports or labelled as simulated, and a server sees only its own."""

import os
from uuid import uuid4

import pytest

from aiplatform_hub.clients.gpus import ForeignProcess, GpuProcess, discover, find_foreign, foreign_processes, gpu_environment, gpu_type_of, machine_capacity
from aiplatform_hub.domain.catalog import GpuType
from aiplatform_hub.domain.units import GIB

TYPES = {
    "a100": GpuType("a100", "A100", ("a100",)),
    "a100-80": GpuType("a100-80", "A100 80 GB", ("a100-sxm4-80gb", "a100 80gb")),
    "h100": GpuType("h100", "H100", ("h100",)),
}


def test_simulated_gpus_say_so_and_keep_their_names():
    devices = discover(3, {})
    assert devices == discover(4, {})[:3]
    assert len({device.uuid for device in devices}) == 3
    for index, device in enumerate(devices):
        assert device.uuid.startswith("GPU-SIM-")
        assert (device.index, device.is_simulated, device.is_healthy) == (index, True, True)
        assert (device.gpu_type, device.product_name, device.memory_bytes) == ("simulated", "Simulated GPU", 16 * GIB)


def test_without_driver_there_are_no_gpus_and_no_error():
    for device in discover(0, TYPES):  # on a machine with GPUs they are real ones
        assert not device.is_simulated
        assert device.uuid.startswith(("GPU-", "MIG-"))
        assert not device.uuid.startswith("GPU-SIM-")


@pytest.mark.parametrize(
    ("product", "expected"),
    [("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA A100-SXM4-80GB", "a100-80"), ("NVIDIA A100-PCIE-40GB", "a100"), ("NVIDIA T400", "other")],
)
def test_product_names_lead_to_the_most_precise_type(product, expected):
    assert gpu_type_of(product, TYPES) == expected


def test_server_without_gpus_sees_none():
    values = gpu_environment((), 0, 2)
    assert values["CUDA_VISIBLE_DEVICES"] == ""
    assert values["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert not [name for name in values if name.startswith("NCCL")]


def test_server_sees_its_gpus_in_order():
    values = gpu_environment(("GPU-b", "GPU-a"), 2, 6)
    assert values["CUDA_VISIBLE_DEVICES"] == values["NVIDIA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"
    assert (values["AIPLATFORM_GPUS"], values["OMP_NUM_THREADS"]) == ("2", "6")
    assert values["NCCL_SOCKET_IFNAME"] == "lo"


def test_process_on_a_gpu_that_its_session_does_not_hold_is_reported():
    mine, other = uuid4(), uuid4()
    owners = {10: mine, 11: other}
    running = [GpuProcess("A", 10, 1), GpuProcess("A", 11, 1), GpuProcess("B", 10, 1), GpuProcess("A", 12, None)]
    assert find_foreign(running, {"A": mine}, owners.get) == (
        ForeignProcess(running[1], mine, other),
        ForeignProcess(running[2], None, mine),
        ForeignProcess(running[3], mine, None),
    )


def test_simulated_gpus_have_no_processes():
    assert foreign_processes(discover(2, {}), {}) == ()


def test_capacity_is_what_this_process_may_use():
    memory, cores = machine_capacity()
    assert GIB // 4 < memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1 <= cores <= len(os.sched_getaffinity(0))
