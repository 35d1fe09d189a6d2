"""The folder of decoded records: finished ones are moved there, and no other record there is deleted."""

import os
from collections.abc import Collection
from pathlib import Path

from ecgvae.signal.headers import read_header
from ecgvae.tokenizer.decoding import DECODED
from ecgvae.wording import count


def remove_drafts(folder: Path) -> None:
    """Deletes the unfinished files that a killed process left among finished records."""
    for draft in folder.rglob(".*.partial"):
        draft.unlink()


def check_replaced(out: Path, names: Collection[str], tokens: Path) -> None:
    """Checks that a folder has no decoded records but those to be replaced, and that no recording is replaced.

    Args:
        out: The folder, which need not exist.
        names: The names of the new records.
        tokens: The token file that they are from, for the message.

    Raises:
        ValueError: The folder has other decoded records, or records of the same names that were not decoded.
    """
    headers = sorted(record_headers(out).items())
    others = [name for name, header in headers if name not in names and is_decoded(header)]
    recorded = [name for name, header in headers if name in names and is_decoded(header) is False]
    if others:
        them = "it" if len(others) == 1 else "them"
        raise ValueError(f"{out} has {count(len(others), 'decoded record')} that {tokens} does not have, such as "
                         f"{others[0]}; delete {them} or give another --out")
    if recorded:
        raise ValueError(f"{out} has {count(len(recorded), 'record')} of the same names that were not decoded by this "
                         f"version, such as {recorded[0]}; give another --out")


def deliver(folder: Path, out: Path) -> int:
    """Moves finished records to `out`, in place of those of the same names; other files there are kept.

    If this is interrupted, another call goes on: it decodes again what is neither in `folder` nor in `out`.

    Returns:
        The number of other records in `out`.
    """
    if not out.exists():
        os.replace(folder, out)
        return 0
    names = record_headers(folder)
    kept = len(record_headers(out).keys() - names.keys())
    for name in sorted(names):
        header, data = out / f"{name}.hea", out / f"{name}.dat"
        header.parent.mkdir(parents=True, exist_ok=True)
        header.unlink(missing_ok=True)      # so that an interruption leaves no old header with new samples
        os.replace(folder / f"{name}.dat", data)
        os.replace(folder / f"{name}.hea", header)
    return kept


def record_headers(folder: Path) -> dict[str, Path]:
    """The header of each record below a folder, by the record's name."""
    return {header.relative_to(folder).with_suffix("").as_posix(): header for header in folder.rglob("*.hea")}


def is_decoded(header: Path) -> bool | None:
    """Whether a header says that its record was decoded from tokens; None if it is no header of a record."""
    try:
        comments = read_header(str(header.with_suffix(""))).comments
    except (ValueError, OSError):
        return None
    return any(comment.startswith(DECODED) for comment in comments)
