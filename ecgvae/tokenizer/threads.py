"""Threads that compute in the background."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

WARMUP_FLOATS = 31 << 18    # once a block of 31 MiB was freed, glibc reuses freed blocks of that size, see mallopt(3)


@contextmanager
def thread_pool(device: torch.device) -> Iterator[Callable[..., None]]:
    """Yields a function that runs calls in the background, in several threads on a CPU; all are done at the end.

    One thread for each call is faster than all threads in every operation, lets reading go on meanwhile, and gives
    the same bits at any length, which matrix products shared by several threads do not.
    """
    threads = torch.get_num_threads()
    torch.empty(WARMUP_FLOATS)
    if device.type != "cpu" or threads == 1:
        yield lambda function, *arguments: function(*arguments)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            pending: deque[Future] = deque()

            def submit(function: Callable, *arguments) -> None:
                pending.append(pool.submit(function, *arguments))
                while len(pending) > 2 * threads:       # waiting calls take memory
                    pending.popleft().result()

            yield submit
            for future in pending:
                future.result()
    finally:
        torch.set_num_threads(threads)
