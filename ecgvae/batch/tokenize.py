"""Collections of records to token files, in parts, by one process or several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecgvae.batch.job import CollectionJob, Skipped, join_facts, read_facts
from ecgvae.batch.summary import Summary
from ecgvae.data.collection import Collection, Entry
from ecgvae.data.errors import NoUsableRecords, Remarks, error_text
from ecgvae.data.jobs import Parts, Progress, no_progress
from ecgvae.data.naming import wfdb_name
from ecgvae.data.token_facts import mean_errors
from ecgvae.data.tokens import Tokens, merge_tokens, write_tokens
from ecgvae.files import check_free
from ecgvae.signal import Missing, Record, RecordFile
from ecgvae.signal.generated import generated_lines
from ecgvae.tokenizer import Tokenizer
from ecgvae.tokenizer.verification import verify as verify_tokens


@dataclass(frozen=True)
class EncodedSummary(Summary):
    """The result of `tokenize_files`.

    Attributes:
        errors: The name, the PRDN in % and the RMSE in µV of each verified record, as means over its leads.
        remarks: What else users should know, as `Collection.remarks`.
        passed_over: (source, remark) about files that are no WFDB records.
    """

    errors: tuple[tuple[str, float, float], ...] = ()
    remarks: tuple[str, ...] = ()
    passed_over: Remarks = ()


def tokenize_files(sources: Iterable[str | Path], out: str | Path, tokenizer: Tokenizer, *,
                   codebooks: int | None = None, missing: Missing = "error", lead_map: Mapping[str, str] | None = None,
                   any_amplitude: bool = False, comments: bool = True, verify: bool = False, batch_size: int = 64,
                   overwrite: bool = False, progress: Progress = no_progress) -> EncodedSummary | None:
    """Writes the tokens of records, folders of records and stores to one file.

    An interrupted job continues from OUT.partial when it is called again. Under `accelerate launch` each process
    takes its share.

    Args:
        sources: WFDB records, folders of them, and stores.
        out: The token file to write.
        tokenizer: The tokenizer.
        codebooks: Number of first codebooks to use; by default all.
        missing: What to do with a record that lacks a lead: "error" skips it, "zero" sets the lead to 0 mV.
        lead_map: Leads by channel name, for channels that are not named after their leads.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
        comments: Whether the file keeps the comments of records.
        verify: Whether the file has the errors of the signals that are decoded from it; see `tokenizer.verification`.
        batch_size: Records that go through the model together.
        overwrite: Whether to replace a file that exists.
        progress: Called with the number of records done and their total.

    Returns:
        The summary; None in all processes but the first.

    Raises:
        FileExistsError: The file exists.
        ValueError: The lead map applies to no record.
        NoUsableRecords: No record can be used.
    """
    out = Path(out)
    check_free(out, overwrite)
    job = TokenizeJob(Collection(sources), tokenizer, tokenizer.check_codebooks(codebooks), missing, batch_size,
                      lead_map, any_amplitude, comments, verify)
    if lead_map:
        job.collection.check_lead_map(lead_map)
    return job.run(out, overwrite, progress)


@dataclass(frozen=True)
class TokenizeJob(CollectionJob):
    """How the records of a collection become tokens."""

    collection: Collection
    tokenizer: Tokenizer
    codebooks: int
    missing: Missing
    batch_size: int
    lead_map: Mapping[str, str] | None = None
    any_amplitude: bool = False
    comments: bool = True
    verify: bool = False

    @property
    def fingerprint(self) -> dict:
        """Everything that decides the rows of the file, as JSON values."""
        options = {"lead_map": dict(self.lead_map or {}), "any_amplitude": self.any_amplitude,
                   "no_comments": not self.comments, "verify": self.verify}
        return {"records": self.collection.fingerprint, "tokenizer": self.tokenizer.identity,
                "codebooks": self.codebooks, "missing": self.missing,
                **{name: value for name, value in options.items() if value}}    # as before there were these options

    def write_records(self, entries: list[Entry], records: list[Record | RecordFile], folder: Path, skipped: Skipped
                      ) -> dict[str, Any]:
        header = self.tokenizer.header(self.codebooks)
        tokens = self.encode(entries, records, skipped)
        write_tokens(folder / "tokens.parquet", header, tokens)
        return {"records": len(tokens), "seconds": sum(item.samples for item in tokens) / header.rate,
                "noted": [remark for item in tokens for remark in remarks(item)],
                "errors": [(item.name, *mean_errors(item)) for item in tokens if item.prdn is not None]}

    def encode(self, entries: list[Entry], records: list[Record | RecordFile], skipped: Skipped) -> list[Tokens]:
        """The tokens of the records that can be used; the others are added to `skipped`."""
        errors: dict[int, Exception] = {}
        encoded = self.tokenizer.encode_many(records, self.codebooks, self.missing, self.batch_size,
                                             errors.__setitem__, self.lead_map, self.any_amplitude)
        skipped += [(entries[index].name, error_text(error)) for index, error in errors.items()]
        usable = [index for index in range(len(entries)) if index not in errors]
        tokens = [self.collection.with_origin(entries[index], item, self.tokenizer.model.signal.rate)
                  for index, item in zip(usable, encoded, strict=True)]
        if self.verify:
            sources = [records[index] for index in usable]
            tokens = verify_tokens(self.tokenizer, sources, tokens, self.lead_map, self.batch_size)
        return tokens if self.comments else [replace(item, comments=generated_lines(item.comments)) for item in tokens]

    def merge(self, parts: Parts, out: Path, overwrite: bool) -> EncodedSummary:
        facts = read_facts(parts)
        records, seconds = (sum(part[key] for part in facts) for key in ("records", "seconds"))
        skipped, noted, errors = (join_facts(facts, key) for key in ("skipped", "noted", "errors"))
        if not records:
            parts.remove()
            raise NoUsableRecords(skipped)
        merge_tokens([path / "tokens.parquet" for path in parts.paths()], out, overwrite)
        parts.remove()
        return EncodedSummary(out, records, seconds, skipped, noted, errors, tuple(self.collection.remarks),
                              tuple(self.collection.passed_over))


def remarks(tokens: Tokens) -> list[tuple[str, str]]:
    """The notes of tokens, and one if their name is not allowed as that of a WFDB record."""
    notes = [(tokens.name, note) for note in tokens.notes]
    if (name := wfdb_name(tokens.name)) != tokens.name:
        notes.append((tokens.name, f"WFDB does not allow the name; detokenize writes {name}"))
    return notes
