"""The names of records in stores and token files, and a hash of the files behind them."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ecgvae.signal import open_record

NamedPath = tuple[str, Path]  # a record's name, and its path


def name_records(source: Path, paths: Iterable[str | Path]) -> tuple[list[NamedPath], list[tuple[str, str]]]:
    """The records by name, and (path, reason) of those whose name another record has."""
    root = source if source.is_dir() else source.parent
    named: dict[str, Path] = {}
    duplicates = []
    for path in map(Path, paths):
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        if name in named:
            duplicates.append((f"{path}.hea", f"the name {name} is taken by {named[name]}.hea"))
        else:
            named[name] = path
    return list(named.items()), duplicates


def fingerprint(named: list[NamedPath]) -> str:
    """A hash of the names, sizes and times of the records' files."""
    digest = hashlib.sha256()
    for name, path in named:
        files = [(file.st_size, file.st_mtime_ns) for file in file_status(path)]
        digest.update(os.fsencode(name) + repr(files).encode())
    return digest.hexdigest()


def file_status(path: Path) -> Iterator[os.stat_result]:
    """The status of the files that a record may have, as far as they exist."""
    for suffix in (".hea", ".dat", ".mat"):
        try:
            yield os.stat(f"{path}{suffix}")
        except (OSError, ValueError):
            continue


def channel_names(named: Iterable[NamedPath]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The name and the channel names of every record that can be opened."""
    for name, path in named:
        try:
            yield name, open_record(path).leads
        except Exception:  # its preparation lists the reason
            continue
