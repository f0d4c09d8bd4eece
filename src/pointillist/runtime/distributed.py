"""Several processes that train together. Everything works, and costs nothing, in a single one."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, 0 … world − 1."""
    return dist.get_rank() if world() > 1 else 0


def gather(x: Tensor) -> Tensor:
    """Rows of all processes one after the other, without gradient; every process must hold the same shape.

    Args:
        x: ``(n, …)``.

    Returns:
        ``(world · n, …)``.
    """
    if world() == 1:
        return x.detach()
    parts = [torch.empty_like(x) for _ in range(world())]
    dist.all_gather(parts, x.detach().contiguous())
    return torch.cat(parts)


def global_mean(total: Tensor, count: Tensor) -> Tensor:
    """The mean over all processes of something each has a sum and a count of; 0 where nobody counted.

    The mean of the processes' means is another number. The result is scaled so that averaging gradients over
    processes, as DistributedDataParallel does, gives the gradient of the global mean.

    Args:
        total: scalar sum, with gradient.
        count: scalar number of summands.
    """
    counts = gather(count.reshape(1).to(total.dtype)).sum()
    return total * (world() / counts.clamp(min=1))


def any_rank(flag: bool) -> bool:
    """Whether the flag is set in any process; every process must ask."""
    if world() == 1:
        return flag
    return bool(gather(torch.tensor([float(flag)])).any())


def average_buffers(module: torch.nn.Module) -> None:
    """Average the running statistics of BatchNorm over processes, in place."""
    if world() == 1:
        return
    for name, buffer in module.named_buffers():
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            dist.all_reduce(buffer)
            buffer /= world()


def leave() -> None:
    """Part from the other processes in good order; the end of a program that trained together."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
