"""The folder of decoded records: finished ones are moved there, in place of those of an earlier call."""

import os
import re
from pathlib import Path

from ecgvae.signal.headers import read_header
from ecgvae.tokenizer.decoding import DECODED


def remove_drafts(folder: Path) -> None:
    """Deletes the unfinished files that a killed process left among finished records."""
    for draft in folder.rglob(".*.partial"):
        draft.unlink()


def deliver(folder: Path, out: Path) -> tuple[int, int]:
    """Moves finished records to `out`, in place of those of an earlier call; other files there are kept.

    If this is interrupted, another call goes on: it decodes again what is neither in `folder` nor in `out`.

    Returns:
        The number of records that were deleted from `out`, and of those that were there and are kept.
    """
    if not out.exists():
        os.replace(folder, out)
        return 0, 0
    removed = remove_decoded(out)
    names = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*.hea")}
    kept = sum(path.relative_to(out).with_suffix("") not in names for path in out.rglob("*.hea"))
    for name in sorted(names):
        header, data = (out / name.with_suffix(suffix) for suffix in (".hea", ".dat"))
        header.parent.mkdir(parents=True, exist_ok=True)
        header.unlink(missing_ok=True)      # so that an interruption leaves no old header with new samples
        os.replace(folder / name.with_suffix(".dat"), data)
        os.replace(folder / name.with_suffix(".hea"), header)
    return removed, kept


def remove_decoded(folder: Path) -> int:
    """Deletes the records below a folder whose headers say that they were decoded; returns their number."""
    removed = 0
    for header in sorted(folder.rglob("*.hea")):
        if is_decoded(header):
            header.with_suffix(".dat").unlink(missing_ok=True)
            header.unlink()         # last, as it is what marks the record
            removed += 1
            if header.parent != folder and not any(header.parent.iterdir()):
                header.parent.rmdir()
    return removed


def is_decoded(path: Path) -> bool:
    """Whether a header was written by `detokenize_files`, with the samples in a file of the same name."""
    if path.is_symlink() or not re.fullmatch(r"[-\w]+", path.stem, re.ASCII):
        return False
    try:
        header = read_header(str(path.with_suffix("")))
    except (ValueError, OSError):
        return False
    is_own = bool(header.channels) and {channel.file for channel in header.channels} == {f"{path.stem}.dat"}
    return is_own and any(comment.startswith(DECODED) for comment in header.comments)
