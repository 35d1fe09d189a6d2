"""Token files to folders of WFDB records, resumable and in bounded memory."""

import errno
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ecgvae.batch.delivery import check_replaced, deliver, remove_drafts
from ecgvae.batch.summary import Summary
from ecgvae.data.errors import NoUsableRecords, Remarks, check_folder, error_text
from ecgvae.data.jobs import Progress, no_progress, open_parts
from ecgvae.data.naming import unique_names
from ecgvae.data.tokens import TokenFile, Tokens, open_tokens
from ecgvae.signal.generated import generated_lines
from ecgvae.signal.writing import write_blocks
from ecgvae.tokenizer import Tokenizer, load_tokenizer
from ecgvae.tokenizer.decoding import DECODED

MAX_QUOTED_CHARACTERS = 500         # of a name in a header


@dataclass(frozen=True)
class DecodedSummary(Summary):
    """The result of `detokenize_files`.

    Attributes:
        renamed: Records that have another name in the folder than in the token file, and that name.
        kept: Number of other records in the folder.
    """

    renamed: Remarks = ()
    kept: int = 0


@dataclass(frozen=True)
class Row:
    """A record of a token file, its name there (with the start, for a window), and its name in the folder."""

    tokens: Tokens
    name: str
    path: str


def detokenize_files(path: str | Path, out: str | Path, model: str | Path | None = None, *, original: bool = True,
                     all_leads: bool = False, comments: bool = True, device: str = "auto", overwrite: bool = False,
                     progress: Progress = no_progress) -> DecodedSummary:
    """Writes the records of a token file as WFDB below a folder, under the names they had.

    The start of a window is added to the name of its record. Names that WFDB does not allow, and names that are equal,
    are replaced by others. An interrupted job continues from OUT.partial when it is called again.

    Args:
        path: The token file.
        out: The folder to write.
        model: The tokenizer's name or folder; by default the name in the file.
        original: Whether the records have the rate of those they came from, else the model's.
        all_leads: Whether the records have leads that neither were in the source nor follow from those that were.
        comments: Whether the records have the comments of their source.
        device: A device by torch's name, or "auto" for a GPU if there is one.
        overwrite: Whether the folder may exist. Records in it are replaced by new ones of the same names, and other
            files are kept.
        progress: Called with the number of records done and their total.

    Raises:
        FileExistsError: The folder exists.
        ValueError: The file is damaged or of another tokenizer, or the folder has decoded records that the file does
            not have.
        NoUsableRecords: No record can be decoded.
    """
    out = check_folder(out, overwrite)
    file = open_tokens(path)
    names = record_names(file)
    paths = unique_names(names)
    check_replaced(out, set(paths), file.path)
    tokenizer = load_tokenizer(file, model, device)
    status = file.path.stat()
    fingerprint = {"tokens": [status.st_size, status.st_mtime_ns], "tokenizer": tokenizer.identity,
                   "original": original, "all_leads": all_leads, "comments": comments}
    seconds, kept = 0.0, 0
    skipped, noted, renamed = [], [], []
    with open_parts(out, fingerprint, overwrite) as parts:
        folder = parts.folder / "records"
        remove_drafts(folder)
        for done, row in enumerate(rows(file, names, paths, comments)):
            progress(done, len(file))
            try:
                noted += write_row(tokenizer, row, folder, original, all_leads)
                seconds += row.tokens.samples / file.header.rate
                renamed += [(row.name, row.path)] if row.path != row.name else []
            except (ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno != errno.ENAMETOOLONG:
                    raise
                skipped.append((row.name, error_text(error)))
        if len(skipped) < len(file):
            kept = deliver(folder, out)
        parts.remove()
    if len(skipped) == len(file):
        raise NoUsableRecords(skipped)
    return DecodedSummary(out, len(file) - len(skipped), seconds, tuple(skipped), tuple(noted),
                          renamed=tuple(renamed), kept=kept)


def rows(file: TokenFile, names: Sequence[str], paths: Sequence[str], comments: bool) -> Iterator[Row]:
    """The records of a token file; without the comments of their source if `comments` is False."""
    for tokens, name, path in zip(file, names, paths, strict=True):
        decoded = tuple(line for line in tokens.comments if line.startswith(DECODED))
        about = tokens.comments if comments else (*generated_lines(tokens.comments), *decoded)
        if path != name:
            about = (*about, f"ecgvae: named {tokens.name!r:.{MAX_QUOTED_CHARACTERS}} in the source")
        yield Row(replace(tokens, comments=about), name, path)


def record_names(file: TokenFile) -> list[str]:
    """A name for each row; the names of windows of one record include their start."""
    columns = [table.select(["record", "start"]).to_pylist() for table in file.tables()]
    starts = [(row["record"], row["start"]) for column in columns for row in column]
    if any(value is None for row in starts for value in row):
        raise ValueError(f"{file.path} is damaged: values are missing")
    windows = Counter(name for name, _ in starts)
    return [name if windows[name] == 1 else f"{name}_{start}" for name, start in starts]


def write_row(tokenizer: Tokenizer, row: Row, folder: Path, original: bool, all_leads: bool) -> list[tuple[str, str]]:
    """Writes a record unless an interrupted job has written it, and returns remarks about its leads."""
    decoder = tokenizer.decoder(row.tokens, original, all_leads)
    if not all((folder / f"{row.path}{suffix}").exists() for suffix in (".hea", ".dat")):
        write_blocks(decoder.facts, decoder.blocks, folder, row.path, overwrite=True)
    written, invented = decoder.facts.leads, decoder.facts.invented_leads
    if invented:
        return [(row.name, f"{len(invented)} of {len(written)} leads are invented: {', '.join(invented)}")]
    total = len(tokenizer.model.signal.leads)
    return [(row.name, f"had {len(written)} of {total} leads ({', '.join(written)}): only those are written")
            ] if len(written) < total else []
