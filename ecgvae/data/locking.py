"""A lock on a folder, so that two processes don't write to it at once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ecgvae.files import special_kind

try:
    import fcntl
except ImportError:  # on Windows, where a second run in the same folder is not detected
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Locks a folder during a `with` statement, at whose end nothing is left in it; see `lock_folder`."""
    with lock_folder(folder) as lock:
        try:
            yield
        finally:
            Path(lock.name).unlink(missing_ok=True)


def lock_folder(folder: Path) -> TextIO:
    """Locks a folder by a file `lock` in it until the returned file is closed.

    The system also releases the lock when the process ends or crashes.

    Raises:
        OSError: Another run uses the folder.
        ValueError: `lock` in the folder is not a file.
    """
    path = folder / "lock"
    if kind := special_kind(path):
        raise ValueError(f"{path} is {kind}; wanted a file or nothing")
    while True:
        lock = open(path, "w")
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise OSError(f"{folder} is in use by another run") from None
        if not fcntl or is_at(lock, path):
            return lock
        lock.close()        # another run has deleted it since it was opened


def is_at(file: TextIO, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
