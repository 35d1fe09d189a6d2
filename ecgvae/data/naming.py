"""The names of records in stores, token files and folders, and a hash of the files behind them."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ecgvae.signal import open_record

MAX_COMPONENT_BYTES = 200  # of a path; file systems allow 255, of which suffixes and numbers take some
MAX_NAME_BYTES = 1000  # of a whole name; systems allow 4096 or 1024 for a path with the folder before it

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
            duplicates.append((str(path), f"the name {name} is already that of {named[name]}.hea"))
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


def wfdb_name(name: str) -> str:
    """A record's name as a relative path that WFDB and every file system allow.

    An allowed name stays as it is, apart from empty components and dots (`a//b`, `./b`). In other names, accents are
    dropped and other characters become _; what is too long is cut and gets a hash. Different names may become equal.
    """
    *folders, last = [part for part in name.split("/") if part not in ("", ".")] or ["record"]
    path = "/".join([*map(_folder_name, folders), _short(_plain(last), last)])
    if len(os.fsencode(path)) <= MAX_NAME_BYTES:
        return path
    return f"{_plain(last)[:MAX_COMPONENT_BYTES // 2]}-{_hash(name)}"


def _folder_name(part: str) -> str:
    """A folder's name as it is, if it can be one beside files of records and wfdb takes it for no URL."""
    allowed = part.isprintable() and part != ".." and "::" not in part and "\\" not in part
    is_file = part.lower().endswith((".hea", ".dat"))
    return _short(part if allowed and not is_file else _plain(part), part)


def _plain(text: str) -> str:
    """The text with letters, digits, _ and - only, which WFDB allows."""
    if re.fullmatch(r"[-\w]+", text, re.ASCII):
        return text
    letters = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return re.sub(r"[^-\w]", "_", letters, flags=re.ASCII) or "_"


def _short(part: str, original: str) -> str:
    """A component of a path; if it is too long, its beginning with a hash of the original."""
    if len(os.fsencode(part)) <= MAX_COMPONENT_BYTES:
        return part
    return f"{_plain(part)[:MAX_COMPONENT_BYTES // 2]}-{_hash(original)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12]


def unique_names(names: Sequence[str]) -> list[str]:
    """The names as `wfdb_name` gives them, each different from the others even where case does not count.

    Of equal names, one that needs no change keeps it, else the first; the others get a number: a, a-2, a-3.
    """
    paths = [wfdb_name(name) for name in names]
    owners: dict[str, int] = {}
    for row in sorted(range(len(names)), key=lambda row: paths[row] != names[row]):
        owners.setdefault(_key(paths[row]), row)
    last_number: dict[str, int] = {}
    for row, path in enumerate(paths):
        key = _key(path)
        while owners.setdefault(_key(paths[row]), row) != row:
            last_number[key] = number = last_number.get(key, 1) + 1
            paths[row] = f"{path}-{number}"
    return paths


def _key(path: str) -> str:
    """What equal names have in common on a file system that ignores case and the encoding of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
