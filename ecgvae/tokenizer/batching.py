"""Items of equal length in batches, which are computed in the background as soon as they are full."""

from collections.abc import Callable
from typing import Any

Item = Any


class Batches:
    """Collects items by length and hands full batches on.

    Args:
        compute: Called with the items of a batch.
        size: Number of items of a full batch.
        submit: Calls a function with arguments, perhaps in another thread, see `thread_pool`.
    """

    def __init__(self, compute: Callable[[list[Item]], object], size: int, submit: Callable[..., None]):
        self._compute, self._size, self._submit = compute, size, submit
        self._waiting: dict[int, list[Item]] = {}       # by length

    def add(self, length: int, item: Item, is_urgent: bool = False) -> None:
        """Adds an item; an urgent one is computed at once, with those that wait."""
        batch = self._waiting.setdefault(length, [])
        batch.append(item)
        if len(batch) == self._size or is_urgent:
            self._submit(self._compute, self._waiting.pop(length))

    def finish(self) -> None:
        """Hands on all batches that are not full."""
        for batch in self._waiting.values():
            self._submit(self._compute, batch)
        self._waiting.clear()
