"""Whole collections of records to tokens and back: in parts, resumable, by one process or several."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from ecgvae.data import jobs
from ecgvae.data.collection import Collection, Entry
from ecgvae.data.prepare import error_text
from ecgvae.data.tokens import TokenFile, merge_tokens, open_tokens, write_tokens
from ecgvae.signal import write_record
from ecgvae.tokenizer import Tokenizer

PART_RECORDS = 512          # what an interruption may cost
PART_SAMPLES = 1 << 25

Progress = Callable[[int, int], object]
Remarks = tuple[tuple[str, str], ...]       # (record, what there is to say)


@dataclass(frozen=True)
class Summary:
    """What became of a collection: how much was done, what was left out and why, what was repaired."""

    out: Path
    records: int
    seconds: float      # of ECG
    skipped: Remarks = ()
    noted: Remarks = ()


class NoUsableRecords(ValueError):
    """No record of a collection could be used; `skipped` says why."""

    def __init__(self, skipped: Remarks):
        first = f"; the first, {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        super().__init__(f"none of {len(skipped)} records can be used{first}")
        self.skipped = skipped


def processes():
    """The processes of `accelerate launch` or torchrun, this one among them; None where it is alone."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return None
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())


def tokenize_files(sources: Iterable[str | Path], out: str | Path, tokenizer: Tokenizer, *,
                   codebooks: int | None = None, missing: str = "error", batch_size: int = 64,
                   overwrite: bool = False, progress: Progress = lambda done, total: None) -> Summary | None:
    """Write the tokens of records, folders of them and stores to one file.

    Interrupted, it goes on from OUT.partial when called again. Records that can't be used are left out and
    listed. Under `accelerate launch` each process takes its share, and only the first returns a summary.
    """
    out = Path(out)
    check_free(out, overwrite)
    work = Tokenizing(Collection(sources), tokenizer, tokenizer.checked(codebooks), missing, batch_size)
    batches = list(work.collection.batches(PART_RECORDS, PART_SAMPLES))
    group = processes()
    first = group is None or group.is_main_process
    with begin(out, work.facts, overwrite) if first else nullcontext() as parts:
        pending = [(index, parts.path(index)) for index in parts.pending(len(batches))] if first else None
        if group is not None:
            pending = broadcast(pending)[group.process_index::group.num_processes]
        done = total = len(work.collection)
        done -= sum(len(batches[index]) for index, _ in pending)
        for index, path in pending:
            if first:
                progress(done, total)
            jobs.write_atomically(path, lambda folder, batch=batches[index]: work.write(folder, batch))
            done += len(batches[index])
        if group is not None:
            group.wait_for_everyone()
        return join(parts, out, overwrite) if first else None


def begin(out: Path, facts: dict, overwrite: bool) -> jobs.Parts:
    """The parts of an output, in a folder beside it; those of an interrupted run are still there."""
    return jobs.Parts(out.with_name(out.name + ".partial"), facts, overwrite)


def check_free(out: Path, overwrite: bool) -> None:
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; use --overwrite")


def broadcast(value):
    """The first process's value, for all."""
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


@dataclass(frozen=True)
class Tokenizing:
    """How the records of a collection become tokens."""

    collection: Collection
    tokenizer: Tokenizer
    codebooks: int
    missing: str
    batch_size: int

    @property
    def facts(self) -> dict:
        """What decides the tokens."""
        return {"records": self.collection.fingerprint, "tokenizer": self.tokenizer.identity,
                "codebooks": self.codebooks, "missing": self.missing}

    def write(self, folder: Path, batch: list[Entry]) -> None:
        """Make `folder` a part: the tokens of a batch, and what there is to say about it."""
        skipped: list[tuple[str, str]] = []
        header = self.tokenizer.header(self.codebooks)
        tokens = list(self.tokens(batch, skipped))
        folder.mkdir()
        write_tokens(folder / "tokens.parquet", header, tokens)
        facts = {"records": len(tokens), "seconds": sum(item.samples for item in tokens) / header.rate,
                 "skipped": skipped, "noted": [(item.name, "; ".join(item.notes)) for item in tokens if item.notes]}
        (folder / "facts.json").write_text(json.dumps(facts))

    def tokens(self, batch: list[Entry], skipped: list[tuple[str, str]]) -> Iterator:
        entries, records = [], []
        for entry in batch:
            try:
                records.append(self.collection.open(entry))
                entries.append(entry)
            except (ValueError, OSError) as error:
                skipped.append((str(entry), error_text(error)))
        bad: dict[int, Exception] = {}
        made = self.tokenizer.encode_many(records, self.codebooks, self.missing, self.batch_size, bad.__setitem__)
        skipped += [(str(entries[index]), error_text(error)) for index, error in bad.items()]
        good = [entry for index, entry in enumerate(entries) if index not in bad]
        for entry, tokens in zip(good, made, strict=True):
            yield self.collection.traced(entry, tokens, self.tokenizer.model.signal.rate)


def join(parts: jobs.Parts, out: Path, overwrite: bool) -> Summary:
    """Make one token file of all parts."""
    facts = [json.loads((path / "facts.json").read_text()) for path in parts.paths()]
    records, seconds = (sum(part[key] for part in facts) for key in ("records", "seconds"))
    skipped, noted = (tuple({tuple(item): None for part in facts for item in part[key]})
                      for key in ("skipped", "noted"))
    if not records:
        parts.remove()
        raise NoUsableRecords(skipped)
    merge_tokens([path / "tokens.parquet" for path in parts.paths()], out, overwrite)
    parts.remove()
    return Summary(out, records, seconds, skipped, noted)


def load_tokenizer(file: TokenFile, model: str | Path | None = None, device: str = "auto") -> Tokenizer:
    """The tokenizer that made a token file, by the name in it or as given; any other is a ValueError."""
    try:
        tokenizer = Tokenizer.load(model or file.header.model, device)
    except FileNotFoundError:
        if model:
            raise
        raise ValueError(f"{file.path} is from {file.header.model}, which is no shipped tokenizer; "
                         "give its folder with --model") from None
    if file.header.tokenizer != tokenizer.identity:
        raise ValueError(f"{file.path} is from the tokenizer {file.header.tokenizer} ({file.header.model}); "
                         f"{tokenizer.name} is {tokenizer.identity}")
    expected = tokenizer.header(len(file.header.codebooks))
    if file.header != replace(expected, model=file.header.model):
        raise ValueError(f"{file.path} is damaged: its header differs from that of its tokenizer")
    return tokenizer


def detokenize_files(path: str | Path, out: str | Path, model: str | Path | None = None, *, original: bool = True,
                     device: str = "auto", overwrite: bool = False,
                     progress: Progress = lambda done, total: None) -> Summary:
    """Write the records of a token file as WFDB below the folder `out`, with the names they had.

    They have the rate of the records they came from, or the model's with `original=False`. A window of a record
    has its first sample added to its name. Interrupted, it goes on from OUT.partial when called again.
    """
    out = Path(out)
    check_free(out, overwrite)
    file = open_tokens(path)
    tokenizer = load_tokenizer(file, model, device)
    status = file.path.stat()
    facts = {"tokens": [status.st_size, status.st_mtime_ns], "tokenizer": tokenizer.identity, "original": original}
    seconds, skipped = 0.0, []
    with begin(out, facts, overwrite) as parts:
        folder = parts.folder / "records"
        for done, (name, tokens) in enumerate(zip(names(file), file, strict=True)):
            progress(done, len(file))
            try:
                if not (folder / f"{name}.hea").exists():
                    write_record(tokenizer.decode(tokens, original), folder, name)
                seconds += tokens.samples / file.header.rate
            except ValueError as error:
                skipped.append((name, error_text(error)))
        if len(skipped) < len(file):
            move(folder, out)
        parts.remove()
    if len(skipped) == len(file):
        raise NoUsableRecords(tuple(skipped))
    return Summary(out, len(file) - len(skipped), seconds, tuple(skipped))


def names(file: TokenFile) -> list[str]:
    """A name for each row; windows of one record have their start in it."""
    columns = [table.select(["record", "start"]).to_pylist() for table in file.tables()]
    rows = [(row["record"], row["start"]) for column in columns for row in column]
    windows = Counter(name for name, _ in rows)
    return [name if windows[name] == 1 else f"{name}_{start}" for name, start in rows]


def move(folder: Path, out: Path) -> None:
    """Move a tree of files to `out`, beside what may be there."""
    if not out.exists():
        os.replace(folder, out)
        return
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        target = out / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(file, target)
