"""Arrays at the tokenizer's door: signals as records, and plain codes by codebook."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from torch import Tensor, bfloat16

from ecgvae.signal import Record, check_finite, parse_leads

Array: TypeAlias = np.ndarray | Tensor


def array_to_records(signal: Array, rate: float | None, leads: Sequence[str] | None) -> list[Record]:
    """The records in an array (c, t) or (n, c, t) in mV."""
    if not isinstance(signal, np.ndarray | Tensor):
        raise ValueError(f"a signal of type {type(signal).__name__}; wanted a record, an array or a tensor")
    if rate is None or leads is None:
        raise ValueError("an array without rate= or leads=; wanted both, in Hz and as names")
    array = to_numpy(signal)
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu":
        raise ValueError(f"an array of {array.dtype} {array.shape}; wanted numbers in mV, (leads, samples) or "
                         "(records, leads, samples)")
    check_finite(array, "the array")
    names = parse_leads(leads) if isinstance(leads, str) else tuple(leads)
    batch = array if array.ndim == 3 else array[None]
    return [Record(row, rate, names, f"record {index}" if array.ndim == 3 else "record")
            for index, row in enumerate(batch)]


def to_numpy(array: Array) -> np.ndarray:
    """An array or tensor as an array; bfloat16, which NumPy does not have, becomes float32."""
    if not isinstance(array, Tensor):
        return np.asarray(array)
    array = array.detach().cpu()
    return (array.float() if array.dtype == bfloat16 else array).numpy()


def split_codes(codes: Array | Sequence[Array]) -> tuple[list[np.ndarray], bool]:
    """The codes (b, n) of each codebook, and whether they came as a batch."""
    rows = [to_numpy(row)
            for row in (codes.swapaxes(0, 1) if isinstance(codes, np.ndarray | Tensor) and codes.ndim == 3 else codes)]
    if len({row.ndim for row in rows}) > 1 or len({len(row) for row in rows if row.ndim == 2}) > 1:
        shapes = ", ".join(str(row.shape) for row in rows)
        raise ValueError(f"codes of shapes {shapes}; wanted (n,) or (b, n) for every codebook")
    if not rows or rows[0].ndim not in (1, 2):
        raise ValueError("codes of no codebook, or of other dimensions; wanted (q, n) or (b, q, n)")
    is_batch = rows[0].ndim == 2
    return (rows if is_batch else [row[None] for row in rows]), is_batch
