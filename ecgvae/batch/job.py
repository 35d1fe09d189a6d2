"""A job over a collection, in parts that an interrupted run need not repeat, by one process or several."""

import json
from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import Any

from ecgvae.batch.distributed import broadcast_object, distributed_state
from ecgvae.data.collection import Collection, Entry
from ecgvae.data.errors import error_text
from ecgvae.data.jobs import Parts, Progress, no_progress, open_parts
from ecgvae.files import write_atomically
from ecgvae.signal import Record, RecordFile

PART_RECORDS = 512          # of a part; an interruption loses at most one part
PART_SAMPLES = 1 << 25
Skipped = list[tuple[str, str]]         # (record, reason)


class CollectionJob(ABC):
    """What becomes of the records of a collection, in parts. A part is a folder with a file `facts.json`."""

    collection: Collection

    @property
    @abstractmethod
    def fingerprint(self) -> dict:
        """Everything that decides the result, as JSON values."""

    @abstractmethod
    def write_records(self, entries: list[Entry], records: list[Record | RecordFile], folder: Path, skipped: Skipped
                      ) -> dict[str, Any]:
        """Writes the results for open records to the folder of a part.

        Args:
            entries: The entries of the records.
            records: The records.
            folder: An empty folder.
            skipped: Where records that can't be used are added.

        Returns:
            Facts about the part as JSON values.
        """

    @abstractmethod
    def merge(self, parts: Parts, out: Path, overwrite: bool) -> Any:
        """Merges all parts into one file, deletes them, and returns a summary."""

    def run(self, out: Path, overwrite: bool, progress: Progress) -> Any:
        """Writes and merges all parts; under `accelerate launch` each process takes its share.

        Returns:
            The summary of `merge`; None in all processes but the first.
        """
        batches = list(self.collection.batches(PART_RECORDS, PART_SAMPLES))
        state = distributed_state()
        if state is not None and not state.is_main_process:
            self.write_parts(batches, broadcast_object(None)[state.process_index::state.num_processes], no_progress)
            state.wait_for_everyone()
            return None
        with open_parts(out, self.fingerprint, overwrite) as parts:
            pending = [(index, parts.path(index)) for index in parts.pending(len(batches))]
            if state is not None:
                pending = broadcast_object(pending)[::state.num_processes]
            self.write_parts(batches, pending, progress)
            if state is not None:
                state.wait_for_everyone()
            return self.merge(parts, out, overwrite)

    def write_parts(self, batches: list[list[Entry]], pending: list[tuple[int, Path]], progress: Progress) -> None:
        """Writes the pending parts, each (index, path) of a batch."""
        done = total = len(self.collection)
        done -= sum(len(batches[index]) for index, _ in pending)
        for index, path in pending:
            progress(done, total)
            write_atomically(path, partial(self.write_part, batches[index]))
            done += len(batches[index])

    def write_part(self, batch: list[Entry], folder: Path) -> None:
        """Writes the results for a batch of records to a new folder, with facts about them."""
        skipped: Skipped = []
        entries, records = [], []
        for entry in batch:
            try:
                records.append(self.collection.open(entry))
                entries.append(entry)
            except (ValueError, OSError) as error:
                skipped.append((entry.name, error_text(error)))
        folder.mkdir()
        facts = self.write_records(entries, records, folder, skipped)
        (folder / "facts.json").write_text(json.dumps({**facts, "skipped": skipped}))


def read_facts(parts: Parts) -> list[dict[str, Any]]:
    """The facts about each part."""
    return [json.loads((path / "facts.json").read_text()) for path in parts.paths()]


def join_facts(facts: list[dict[str, Any]], key: str) -> tuple:
    """The different items of all parts under a key, in their order."""
    return tuple({tuple(item): None for part in facts for item in part.get(key, ())})
