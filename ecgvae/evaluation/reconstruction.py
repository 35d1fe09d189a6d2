"""Reconstruction errors of a model at each of its bit rates, and the usage of its codebooks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.codebooks import CodebookSpec
from ecgvae.data.store import Store
from ecgvae.evaluation.batches import RecordBatch, batches, full_precision, in_background, split_rows, to_all_leads
from ecgvae.evaluation.code_lengths import CodeLengths, describe_prior, load_code_lengths
from ecgvae.evaluation.errors import Comparison, Part, measure
from ecgvae.evaluation.provenance import describe_data, present_leads
from ecgvae.models import Autoencoder, QuantizedAutoencoder
from ecgvae.signal import Record, fit_leads
from ecgvae.tokenizer import CPU_BATCH

MAX_CPU_SAMPLES = 1 << 14       # per lead, of a batch on a CPU; a single piece may have more


def evaluate(model: str | Path, store: Store, split: str = "validation", device: str = "auto", batch_size: int = 64,
             progress: Callable[[int, int], None] | None = None, prior: str | Path | None = None,
             prior_condition: bool = False) -> dict:
    """Measures a model on a split of a store.

    Memory does not grow with the length of records, and by some 3 kB for each record. A record of more than about
    three minutes passes through the model in pieces; only its spectrum depends on that: it is the mean of those of
    the pieces, so no window reaches over their borders.

    Args:
        model: A shipped name or a folder.
        store: The records.
        split: The split to use.
        device: Device of the model.
        batch_size: Largest number of records in a batch.
        progress: Called with the number of records done and their total.
        prior: A prior over codes of the model, under which their code length is computed: a name or a folder.
        prior_condition: Whether the prior is given the labels, age and sex of the records, which a decoder would have
            to know too; by default they are unknown.

    Returns:
        Facts about model and data (see `provenance.describe_data`) and two lists; with a prior also `prior`, see
        `code_lengths.CodeLengths.report` and `code_lengths.describe_prior`.

        `rows` has a dict for each bit rate. `prdn` (%, mean removed), `rmse_uv`, `snr_db` and `correlation` are
        computed for each lead of each record, except leads that the record lacked, and summarized as mean, median and
        95th percentile; `spectrum_db` is `metrics.spectrum_distance` from 15 to 45 Hz. A tokenizer has a row for each
        number of codebooks, with that number (`codebooks`), `bits_per_second`, `entropy_bits_per_second` (with an
        ideal code for the frequencies of codes in the split), and the `usage` of the least used of these codebooks; the
        row with the prior's number of codebooks, and no other, has `prior_bits_per_second`. A model with a continuous
        latent has one row, with `latent_per_second`: latent values per second.

        `codebooks` has a dict for each codebook, from codebook 0: `usage` (the share of its codes that occur),
        `entropy` in bits per code, and `perplexity`. It is empty for a continuous latent.

    Raises:
        ValueError: The split has no records, they do not fit the model, or the prior does not.
    """
    network, rows = checkpoint.load(model, device), split_rows(store, split)
    facts = describe_data(model, network.signal, store, split, rows)     # first, as it may refuse the model
    on_cpu, specs = network.expansion.device.type == "cpu", network.codebook_specs
    drawn = batches(network, store, rows, min(batch_size, CPU_BATCH) if on_cpu else batch_size,
                    MAX_CPU_SAMPLES if on_cpu else None)
    code_lengths = load_code_lengths(prior, prior_condition, model, store, device) if prior is not None else None
    totals = Totals(network, store, rows, code_lengths)
    with full_precision():
        for batch, parts in in_background(partial(compare, network), drawn, network.expansion.device):
            totals.add(batch, parts)
            if progress:
                progress(totals.done, len(rows))
    usage = [codebook_usage(counts) for counts in totals.counts]
    rates = [bit_rates(specs[:count], usage[:count], network.signal.rate) for count in range(1, len(specs) + 1)]
    table = [{**rate, **comparison.report()}
             for rate, comparison in zip(rates or [latent_rate(network)], totals.comparisons, strict=True)]
    report = {**facts, "rows": table, "codebooks": usage}
    if prior is not None and code_lengths is not None:
        own = code_lengths.report([codebook["entropy"] for codebook in usage], network.signal.rate)
        table[own["codebooks"] - 1]["prior_bits_per_second"] = own["bits_per_second"]
        report["prior"] = {**describe_prior(prior, store, rows, network.signal), "condition": prior_condition, **own}
    return report


@dataclass(frozen=True, eq=False)
class BatchErrors:
    """Statistics of every piece of a batch at each bit rate, and the codes of each codebook, see `own_codes`."""

    parts: list[list[Part]]
    codes: list[Tensor]


class Totals:
    """The errors at every bit rate, the counts of codes, and their lengths under a prior, collected batch by batch."""

    def __init__(self, model: Autoencoder, store: Store, rows: np.ndarray, code_lengths: CodeLengths | None = None):
        lengths, leads = store.spans[rows, 1], len(model.signal.leads)
        self.index = {int(row): index for index, row in enumerate(rows)}
        self.present = present_leads(store, rows, model.signal.leads)
        self.comparisons = [Comparison(lengths, leads, store.rate) for _ in model.codebook_specs or (None,)]
        self.counts = [np.zeros(spec.size, np.int64) for spec in model.codebook_specs]
        self.lengths, self.done, self.code_lengths = lengths, 0, code_lengths

    def add(self, batch: RecordBatch, errors: BatchErrors) -> None:
        """Adds a batch."""
        indices = [self.index[int(row)] for row in batch.rows]
        for comparison, parts in zip(self.comparisons, errors.parts, strict=True):
            for index, part in zip(indices, parts, strict=True):
                comparison.add(index, part, self.present[index])
        for total, codes in zip(self.counts, errors.codes, strict=True):
            total += metrics.count_codes(codes.cpu().numpy(), len(total))
        finished = sum(piece.stop == self.lengths[index] for index, piece in zip(indices, batch.pieces, strict=True))
        if self.code_lengths:
            self.code_lengths.add(batch.rows, errors.codes, is_end=finished > 0)
        self.done += finished


def compare(model: Autoencoder, batch: RecordBatch) -> BatchErrors:
    """Compares the records of a batch with their reconstructions at every bit rate."""
    targets = [select_or_derive(record, model.signal.leads)[:, piece.inside]
               for record, piece in zip(batch.records, batch.pieces, strict=True)]
    rate = batch.records[0].rate
    spectra = [metrics.power_spectrum(target, rate) for target in targets]
    codes = model.tokenize(batch.x) if isinstance(model, QuantizedAutoencoder) else ()
    parts = []
    for reconstruction in reconstructions(model, batch.x, codes):
        leads = [to_all_leads(model, coded, rate, record.samples)[:, piece.inside]
                 for coded, record, piece in zip(reconstruction, batch.records, batch.pieces, strict=True)]
        parts.append([measure(*compared, rate) for compared in zip(targets, spectra, leads, strict=True)])
    return BatchErrors(parts, [own_codes(model, batch, spec, rows)
                               for spec, rows in zip(model.codebook_specs, codes, strict=True)])


def select_or_derive(record: Record, leads: tuple[str, ...]) -> np.ndarray:
    """Leads (leads, t) of a record; those that it lacks are derived from others, or 0 mV."""
    if set(leads) <= set(record.leads):
        return record.select(leads).signal
    return (fit_leads(record.leads, leads, keep=True)[0] @ record.signal).astype(np.float32)


def reconstructions(model: Autoencoder, x: Tensor, codes: Sequence[Tensor]) -> Iterator[Tensor]:
    """As `model.reconstructions`, for signals whose codes are known."""
    if not isinstance(model, QuantizedAutoencoder):
        yield from model.reconstructions(x)
    else:
        yield from (model.detokenize(codes[:count], x.shape[-1]) for count in range(1, len(codes) + 1))


def own_codes(model: Autoencoder, batch: RecordBatch, spec: CodebookSpec, codes: Int[Tensor, "b n"]
              ) -> Int[Tensor, "r m"]:
    """The codes of a codebook without the overlap of pieces: a row for each record of the batch."""
    rate = batch.records[0].rate
    own = [row[piece.frames(rate, model, spec.hop)] for row, piece in zip(codes, batch.pieces, strict=True)]
    return torch.cat(own).unflatten(0, (len(np.unique(batch.rows)), -1))     # of a long record, pieces one by one


def codebook_usage(counts: np.ndarray) -> dict[str, float]:
    """Usage, entropy (bits) and perplexity of a codebook, from the number of times that each code occurs."""
    entropy = metrics.entropy_of_counts(counts)
    return {"usage": int(np.count_nonzero(counts)) / len(counts), "entropy": entropy, "perplexity": 2**entropy}


def bit_rates(specs: Sequence[CodebookSpec], usage: Sequence[dict[str, float]], rate: float) -> dict[str, float]:
    """Bit rates of codebooks at a sampling rate in Hz, and the usage of the least used of them."""
    entropies = [codebook["entropy"] for codebook in usage]
    return {"codebooks": len(specs), "bits_per_second": metrics.bits_per_second(specs, rate),
            "entropy_bits_per_second": metrics.bits_per_second(specs, rate, entropies),
            "usage": min(codebook["usage"] for codebook in usage)}


def latent_rate(model: Autoencoder) -> dict[str, float]:
    """Values of a continuous latent per second."""
    return {"latent_per_second": model.settings.latent * model.signal.rate / model.hop}
