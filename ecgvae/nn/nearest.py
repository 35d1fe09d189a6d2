"""Nearest-neighbour search in bounded memory: the full matrix of distances never exists."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_DISTANCES = 1 << 19   # held at once: 2 MiB of float32, which fits a cache and which the allocator reuses
TABLE_COLUMNS = 32          # a row of distances is searched as a table with this number of columns


def nearest(rows: Float[Tensor, "r d"], codebook: Float[Tensor, "k d"]) -> Int[Tensor, "r"]:
    """Index of the nearest code (Euclidean distance) of each row, at most `BLOCK_DISTANCES` distances at a time."""
    rows, codebook = rows.detach().float(), codebook.detach().float()
    squared_norms = codebook.square().sum(1)       # |x|^2 is the same for every code, so it is left out
    if padding := -len(codebook) % TABLE_COLUMNS:
        squared_norms = F.pad(squared_norms, (0, padding), value=torch.inf)
        codebook = F.pad(codebook, (0, 0, 0, padding))
    step = max(1, BLOCK_DISTANCES // len(squared_norms))
    distances = rows.new_empty(min(step, len(rows)), len(squared_norms))
    codes = torch.empty(len(rows), dtype=torch.long, device=rows.device)
    for start in range(0, len(rows), step):
        block = rows[start:start + step]
        torch.addmm(squared_norms, block, codebook.T, alpha=-2, out=distances[:len(block)])
        codes[start:start + step] = argmin_rows(distances[:len(block)])
    return codes


def argmin_rows(distances: Float[Tensor, "r k"]) -> Int[Tensor, "r"]:
    """argmin(1) in two steps: a minimum without its index takes a tenth of the time of one with it."""
    table = distances.unflatten(1, (-1, TABLE_COLUMNS))
    column = table.amin(1).min(1).indices
    table_row = table.gather(2, column[:, None, None].expand(-1, table.shape[1], 1)).squeeze(2).min(1).indices
    return table_row * TABLE_COLUMNS + column
