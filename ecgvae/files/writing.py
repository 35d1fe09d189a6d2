"""Writing of files and folders: complete or not at all, and never over a device or a pipe."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgvae.files.reading import special_kind


def check_free(path: Path, overwrite: bool) -> None:
    """Checks that an output may be written.

    Raises:
        FileExistsError: It exists and may not be overwritten.
        ValueError: It is neither a file nor a folder, such as a device, which is never replaced.
    """
    if (kind := special_kind(path)) and not path.is_dir():
        raise ValueError(f"{path} is {kind}; wanted a new name")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; use --overwrite")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file or folder under a temporary name and renames it, so that it exists complete or not at all.

    Args:
        path: The file or folder. An existing file is replaced; a folder must not exist.
        write: A function that writes it to a temporary path, its argument.
    """
    temporary = path.with_name(path.name + ".tmp")
    remove(temporary)
    try:
        with name_errors(path):
            write(temporary)
            os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def replace_folder(partial: Path, folder: Path) -> None:
    """Renames a finished folder into place; an older one there is kept until then."""
    backup = folder.with_name(folder.name + ".replaced")
    shutil.rmtree(backup, ignore_errors=True)
    if folder.exists():
        os.replace(folder, backup)
    try:
        os.replace(partial, folder)
    except OSError:
        if backup.exists():
            os.replace(backup, folder)
        raise
    shutil.rmtree(backup, ignore_errors=True)


def remove(path: Path) -> None:
    """Deletes a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def name_errors(path: Path) -> Iterator[None]:
    """Gives errors of the system that name no file, such as that the disk is full, the name of a path."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise
