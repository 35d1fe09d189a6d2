"""The names of records in stores and token files, and a hash of the files behind them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ecgvae.signal import open_record

NamedPath = tuple[str, Path]  # a record's name, and its path


def name_records(source: Path, paths: Iterable[str | Path]) -> tuple[list[NamedPath], list[tuple[str, str]]]:
    """The name and path of each record, and (path, reason) of records whose name another one has already.

    The name of a record is its path relative to the source.
    """
    root = source if source.is_dir() else source.parent
    named: dict[str, Path] = {}
    duplicates = []
    for path in map(Path, paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if name in named:
            duplicates.append((f"{path}.hea", f"the name {name} is already that of {named[name]}.hea"))
        else:
            named[name] = path
    return list(named.items()), duplicates


def fingerprint(named: list[NamedPath]) -> str:
    """A hash of the records' names and of the sizes and modification times of their files."""
    digest = hashlib.sha256()
    for name, path in named:
        files = [(file.st_size, file.st_mtime_ns) for file in file_status(path)]
        digest.update(os.fsencode(name) + repr(files).encode())
    return digest.hexdigest()


def file_status(path: Path) -> Iterator[os.stat_result]:
    """The status of a record's files that exist, among those with the usual suffixes."""
    for suffix in (".hea", ".dat", ".mat"):
        try:
            yield os.stat(f"{path}{suffix}")
        except (OSError, ValueError):
            continue


def channel_names(named: Iterable[NamedPath]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name and the channel names of each record that can be opened."""
    for name, path in named:
        try:
            yield name, open_record(path).leads
        except Exception:  # preparing the record reports the reason
            continue
