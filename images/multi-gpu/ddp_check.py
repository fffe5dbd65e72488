"""Tries distributed PyTorch: every rank adds its number, and all must read the same sum.

On GPUs:     torchrun --standalone --nproc-per-node=gpu /opt/aiplatform/ddp_check.py
Without one: torchrun --standalone --nproc-per-node=2 /opt/aiplatform/ddp_check.py --backend gloo
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

TOLERANCE = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description="Try distributed PyTorch with an all-reduce and one training step.")
    parser.add_argument("--backend", choices=("nccl", "gloo"), default="nccl" if torch.cuda.is_available() else "gloo")
    backend = parser.parse_args().backend
    device = torch.device("cpu")
    if backend == "nccl":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group(backend)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    total = torch.tensor([rank + 1.0], device=device)
    dist.all_reduce(total)
    expected = ranks * (ranks + 1) / 2
    if total.item() != expected:
        raise SystemExit(f"rank {rank} of {ranks} on {device}: all-reduce gave {total.item()}, not {expected}")
    print(f"rank {rank} of {ranks} on {device}: all-reduce gave {total.item()} over {backend}", flush=True)
    gradient = _train_one_step(device, rank)
    print(f"rank {rank} of {ranks} on {device}: gradient after one step {gradient:.6f}", flush=True)
    dist.destroy_process_group()


def _train_one_step(device: torch.device, rank: int) -> float:
    """Return the sum of a gradient that all ranks must share, though each had data of its own."""
    torch.manual_seed(0)
    model = DistributedDataParallel(torch.nn.Linear(4, 1).to(device))
    torch.manual_seed(rank)
    model(torch.randn(8, 4, device=device)).pow(2).mean().backward()
    gradient = sum(float(parameter.grad.sum()) for parameter in model.parameters())
    shared = torch.tensor([gradient], device=device)
    dist.all_reduce(shared, op=dist.ReduceOp.MAX)
    if abs(shared.item() - gradient) > TOLERANCE:
        raise SystemExit(f"rank {rank}: gradients differ: {gradient} here, {shared.item()} elsewhere")
    return gradient


if __name__ == "__main__":
    main()
