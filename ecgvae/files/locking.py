"""Locks on files and folders, so that two processes don't write to the same one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from ecgvae.files.reading import special_kind

try:
    import fcntl
except ImportError:  # on Windows, where a second process is not detected
    fcntl = None  # type: ignore[assignment]

CAN_LOCK = fcntl is not None


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
        if not try_lock(lock):
            lock.close()
            raise OSError(f"{folder} is in use by another run")
        if is_at(lock, path):
            return lock
        lock.close()        # another run has deleted it since it was opened


def try_lock(file: IO) -> bool:
    """Locks an open file until it is closed; False if another process has locked it."""
    try:
        if CAN_LOCK:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(file: IO, path: Path) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
