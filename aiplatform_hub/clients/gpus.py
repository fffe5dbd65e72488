"""The GPUs and the capacity of this machine, and what a server's environment says of its share."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from aiplatform_hub.clients.processes import allocation_of
from aiplatform_hub.domain.allocations import GpuDevice
from aiplatform_hub.domain.catalog import GpuType, gpu_type_of
from aiplatform_hub.domain.units import GIB

SIMULATED_TYPE = "simulated"
SIMULATED_PRODUCT = "Simulated GPU"
SIMULATED_MEMORY_BYTES = 16 * GIB


def discover(simulated_gpus: int, gpu_types: Mapping[str, GpuType]) -> tuple[GpuDevice, ...]:
    """Return this machine's GPUs, or that many labelled pretend ones.

    Never raises: without the driver or its library there are no GPUs.

    Parameters
    ----------
    simulated_gpus
        0 asks NVML.
    gpu_types
        The catalogue's types, whose ``match`` fragments name products.
    """
    if simulated_gpus:
        return tuple(_simulated(index) for index in range(simulated_gpus))
    with open_nvml() as nvml:
        return _discovered(nvml, gpu_types) if nvml else ()


def _simulated(index: int) -> GpuDevice:
    digest = hashlib.sha256(f"aiplatform simulated gpu {index}".encode()).hexdigest()
    uuid = f"GPU-SIM-{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
    return GpuDevice(uuid, SIMULATED_TYPE, SIMULATED_MEMORY_BYTES, is_simulated=True, index=index, product_name=SIMULATED_PRODUCT)


@contextmanager
def open_nvml() -> Iterator[ModuleType | None]:
    """Hold NVML open, or give None where it does not work."""
    try:
        import pynvml  # noqa: PLC0415 - loads the driver's library, which most machines lack

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001 - a broken driver has many ways to say so, all mean "no GPUs"
        yield None
        return
    try:
        yield pynvml
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _discovered(nvml: Any, gpu_types: Mapping[str, GpuType]) -> tuple[GpuDevice, ...]:
    try:
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError:
        return ()
    devices = (_device(nvml, index, gpu_types) for index in range(count))
    return tuple(device for device in devices if device)


def _device(nvml: Any, index: int, gpu_types: Mapping[str, GpuType]) -> GpuDevice | None:
    """Return one GPU; None if it does not even tell its UUID: the pool then marks the missing one unhealthy."""
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuid, product = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
        memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError:
        return None
    return GpuDevice(uuid, gpu_type_of(product, gpu_types), memory, is_healthy=_is_healthy(nvml, handle), index=index, product_name=product)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _is_healthy(nvml: Any, handle: Any) -> bool:
    """Whether the GPU shows no fault. A question that a product does not support says nothing against it."""

    def has_memory_errors() -> bool:
        return bool(nvml.nvmlDeviceGetTotalEccErrors(handle, nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC) > 0)

    def has_pages_to_retire() -> bool:
        return bool(nvml.nvmlDeviceGetRetiredPagesPendingStatus(handle) == nvml.NVML_FEATURE_ENABLED)

    def has_rows_to_remap() -> bool:
        _, _, is_pending, has_failed = nvml.nvmlDeviceGetRemappedRows(handle)
        return bool(is_pending or has_failed)

    return not any(_answers(nvml, fault) for fault in (has_memory_errors, has_pages_to_retire, has_rows_to_remap))


def _answers(nvml: Any, fault: Callable[[], bool]) -> bool:
    try:
        return fault()
    except nvml.NVMLError as error:
        # A lost or unresponsive GPU answers nothing any more; "not supported" is an answer.
        return error.value in {nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNKNOWN, nvml.NVML_ERROR_RESET_REQUIRED}


def machine_capacity() -> tuple[int, int]:
    """Return the memory in bytes and the CPU cores that this process may use, control groups and affinity counted."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    for folder in _own_cgroups():
        memory = min(memory, _number(folder / "memory.max") or memory, _number(folder / "memory.limit_in_bytes") or memory)
        cores = min(cores, _quota_cores(folder) or cores)
    return memory, cores


def _own_cgroups() -> Iterator[Path]:
    """Yield this process's control groups and all above them."""
    root = Path("/sys/fs/cgroup")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, name = line.split(":", 2)
        base = root if not controllers else root / controllers.split(",")[0]
        folder = base / name.strip("/")
        yield folder
        yield from (parent for parent in folder.parents if parent.is_relative_to(base))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None


def _quota_cores(folder: Path) -> int | None:
    """Return a CPU quota in whole cores, at least 1."""
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    with suppress(OSError, ValueError):
        quota, period = (int(word) for word in (folder / "cpu.max").read_text().split())
    return max(1, quota // period) if quota and period and quota > 0 else None


def gpu_environment(devices: Sequence[str], gpus: int, cpu_cores: int) -> dict[str, str]:
    """Return the environment that shows a server its share and nothing else.

    Parameters
    ----------
    devices
        UUIDs of the leased GPUs, in order.
    gpus
        How many GPUs the request asked for; 0 hides them all.
    cpu_cores
        Threads that OpenMP and its kin may use.
    """
    visible = ",".join(devices)
    threads = str(max(1, cpu_cores))
    values = {
        "CUDA_VISIBLE_DEVICES": visible,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "NVIDIA_VISIBLE_DEVICES": visible or "void",
        "AIPLATFORM_GPUS": str(gpus),
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }
    if gpus > 1:
        # One machine: the ranks meet on the loopback, and a stuck collective ends in an error instead of a hang.
        values |= {"NCCL_SOCKET_IFNAME": "lo", "NCCL_IB_DISABLE": "1", "TORCH_NCCL_ASYNC_ERROR_HANDLING": "1"}
    return values


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a GPU, as NVML reports it."""

    device: str
    """UUID of the GPU."""
    pid: int
    memory_bytes: int | None
    """None where NVML does not say."""


@dataclass(frozen=True, slots=True)
class ForeignProcess:
    """A process on a GPU that its session does not hold."""

    process: GpuProcess
    holder: UUID | None
    """The allocation that holds the GPU; None if it is free."""
    allocation_id: UUID | None
    """The allocation that the process belongs to; None if it is not one of ours."""


def find_foreign(running: Iterable[GpuProcess], holders: Mapping[str, UUID], owner_of: Callable[[int], UUID | None]) -> tuple[ForeignProcess, ...]:
    """Return the processes that compute on a GPU which their session does not hold.

    Parameters
    ----------
    running
        What NVML reports.
    holders
        The allocation that holds each GPU, by UUID; free ones are absent.
    owner_of
        The allocation of a pid, or None.
    """
    found = []
    for process in running:
        holder, owner = holders.get(process.device), owner_of(process.pid)
        if owner is None or owner != holder:
            found.append(ForeignProcess(process, holder, owner))
    return tuple(found)


def foreign_processes(devices: Iterable[GpuDevice], holders: Mapping[str, UUID]) -> tuple[ForeignProcess, ...]:
    """Ask NVML who computes on these GPUs and return those who may not; empty where NVML does not work."""
    real = [device for device in devices if not device.is_simulated]
    if not real:
        return ()
    with open_nvml() as nvml:
        running = [process for device in real for process in _running_on(nvml, device.uuid)] if nvml else []
    return find_foreign(running, holders, allocation_of)


def _running_on(nvml: Any, uuid: str) -> list[GpuProcess]:
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return [GpuProcess(uuid, one.pid, one.usedGpuMemory) for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except nvml.NVMLError:
        return []
