"""Collective operations over the processes of a training; with one process they return their input."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def is_distributed() -> bool:
    """Whether several processes train together."""
    return dist.is_available() and dist.is_initialized()


def all_reduce(*tensors: Tensor) -> None:
    """Replaces each tensor by its sum over all processes, in place."""
    if is_distributed():
        for tensor in tensors:
            dist.all_reduce(tensor)


def all_gather(rows: Float[Tensor, "r d"]) -> Float[Tensor, "s d"]:
    """The rows of all processes in the order of their ranks; every process must pass the same number."""
    if not is_distributed():
        return rows
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def all_gather_with_grad(rows: Float[Tensor, "r d"]) -> Float[Tensor, "s d"]:
    """The rows of all processes, for a loss that is computed over all of them.

    The rows of this process keep their gradient, multiplied by the number of processes. Data-parallel training
    averages gradients over processes, so the result is the gradient of one process that holds all rows.
    """
    if not is_distributed():
        return rows
    gathered, start, world_size = all_gather(rows.detach()), dist.get_rank() * len(rows), dist.get_world_size()
    local_rows = rows.detach() + world_size * (rows - rows.detach())
    return torch.cat([gathered[:start], local_rows, gathered[start + len(rows):]])


def broadcast(values: Tensor) -> Tensor:
    """The values of the first process, on every process."""
    if is_distributed():
        dist.broadcast(values, 0)
    return values
