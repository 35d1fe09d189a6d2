"""Arrays at the tokenizer's door: signals as records, and plain codes by codebook."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from torch import Tensor, bfloat16

from ecgvae.signal import Record, check_finite, parse_leads
from ecgvae.wording import quote

Array: TypeAlias = np.ndarray | Tensor


def array_to_records(signal: Array, rate: float | None, leads: Sequence[str] | None) -> list[Record]:
    """The records in an array (c, t) or (n, c, t) in mV."""
    if not isinstance(signal, np.ndarray | Tensor):
        raise ValueError(f"a signal of type {type(signal).__name__}; wanted a record, an array or a tensor")
    if rate is None or leads is None:
        raise ValueError("an array without rate= or leads=; wanted both, in Hz and as names")
    names = lead_names(leads)
    array = signal if isinstance(signal, np.ma.MaskedArray) else to_numpy(signal)
    if array.ndim not in (2, 3) or array.dtype.kind not in "fiu":
        raise ValueError(f"an array of {array.dtype} {array.shape}; wanted numbers in mV, (leads, samples) or "
                         "(records, leads, samples)")
    check_finite(array, "the array")
    batch = array if array.ndim == 3 else array[None]
    return [Record(row, rate, names, f"record {index}" if array.ndim == 3 else "record")
            for index, row in enumerate(batch)]


def lead_names(leads: Sequence[str]) -> tuple[str, ...]:
    """The names of leads in order, from a text or a list; ValueError for others, such as a set, which has no order."""
    names = leads.tolist() if isinstance(leads, np.ndarray) else leads
    if isinstance(names, str):
        return parse_leads(names)
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"leads={quote(leads)}; wanted a text, list or tuple of names")
    return tuple(names)


def to_numpy(array: Array) -> np.ndarray:
    """An array or tensor as an array; bfloat16, which NumPy does not have, becomes float32.

    Raises:
        ValueError: It is a tensor without plain numbers, such as a sparse one; or a masked array.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ValueError("codes in a masked array; wanted an array without a mask")
    try:
        if not isinstance(array, Tensor):
            return np.asarray(array)
        array = array.detach().cpu().resolve_conj().resolve_neg()
        return (array.float() if array.dtype == bfloat16 else array).numpy()
    except (RuntimeError, TypeError, ValueError):   # as a tensor on the device meta, sparse or nested, or a ragged list
        kind = f"tensor of {array.dtype}, {array.layout}" if isinstance(array, Tensor) else type(array).__name__
        raise ValueError(f"a {kind}; wanted an array or a dense tensor of numbers") from None


def split_codes(codes: Array | Sequence[Array]) -> tuple[list[np.ndarray], bool]:
    """The codes (b, n) of each codebook, and whether they came as a batch."""
    if isinstance(codes, np.ndarray | Tensor):
        array = np.atleast_1d(to_numpy(codes))
        codes = array.swapaxes(0, 1) if array.ndim == 3 else array
    if not isinstance(codes, Iterable):
        raise ValueError(f"got {quote(codes)}; wanted Tokens, a list of them, or codes in an array")
    rows = [to_numpy(row) for row in codes]
    if len({row.ndim for row in rows}) > 1 or len({len(row) for row in rows if row.ndim == 2}) > 1:
        shapes = ", ".join(str(row.shape) for row in rows)
        raise ValueError(f"codes of shapes {shapes}; wanted (n,) or (b, n) for every codebook")
    if not rows or rows[0].ndim not in (1, 2):
        raise ValueError("codes of no codebook, or of other dimensions; wanted (q, n) or (b, q, n)")
    is_batch = rows[0].ndim == 2
    return (rows if is_batch else [row[None] for row in rows]), is_batch
