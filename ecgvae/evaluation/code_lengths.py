"""The code length of a tokenizer's codes under a prior: the bits that an ideal entropy coder with the prior needs.

Such a coder sends frame after frame and, within a frame, code after code; both sides compute the same probabilities
from all codes before. A prior over q codebooks therefore needs all q of them: its rate is that of q codebooks, and says
nothing about fewer. The code lengths of single codebooks add up to it, and are no rates of their own.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ecgvae import checkpoint, metrics
from ecgvae.data.conditions import condition_vectors
from ecgvae.data.store import Store
from ecgvae.evaluation.provenance import count_seen
from ecgvae.priors import TokenPrior
from ecgvae.signal import SignalSpec


class CodeLengths:
    """Collects the code lengths of records under a prior. A record may come in parts, in order.

    Args:
        prior: A prior with exact probabilities.
        vectors: The condition of every row of the store; None for unknown.
    """

    def __init__(self, prior: TokenPrior, vectors: Float[Tensor, "rows k"] | None = None):
        self.prior, self.vectors = prior, vectors
        self.codebooks = len(prior.layout.codebooks)
        self.slots = torch.tensor([slot.codebook for slot in prior.layout.slots])
        self.nats = torch.zeros(self.codebooks, dtype=torch.float64)
        self.counts = torch.zeros(self.codebooks, dtype=torch.long)
        self._unfinished: dict[int, dict] = {}      # what the prior remembers of the part before

    def add(self, rows: np.ndarray, codes: Sequence[Int[Tensor, "b _"]], is_end: bool = True) -> None:
        """Adds records, or the next part of one; all parts but the last have whole frames.

        Args:
            rows: Their rows (b,) in the store.
            codes: For each of the tokenizer's codebooks the codes of the records.
            is_end: Whether the records end here.
        """
        codes = [part.long().to(self.prior.device) for part in codes[:self.codebooks]]
        condition = None if self.vectors is None else self.vectors[rows].to(self.prior.device)
        cache = self._unfinished.pop(int(rows[0]), {})
        log_probs = self.prior.log_prob(self.prior.layout.pack(codes), condition, cache)
        self.nats.index_add_(0, self.slots, -log_probs.double().sum((0, 1)).cpu())
        self.counts += torch.tensor([part.numel() for part in codes])
        if not is_end:
            self._unfinished[int(rows[0])] = cache

    def bits(self) -> list[float]:
        """The mean code length of each codebook's codes in bits."""
        return (self.nats / self.counts / math.log(2)).tolist()

    def report(self, entropies: Sequence[float], rate: float) -> dict[str, Any]:
        """The rate under the prior.

        Args:
            entropies: The entropy of each of the tokenizer's codebooks in bits.
            rate: The sampling rate of the signal in Hz.

        Returns:
            `codebooks` of the prior; `bits_per_second` of all of them and `share`, its ratio to the rate with an ideal
            code for the frequencies of codes in the same records (`entropy_bits_per_second`); and `by_codebook`: the
            mean `bits` of a code, and their `share` of the codebook's `entropy`.
        """
        bits, specs, known = self.bits(), self.prior.layout.codebooks, entropies[:self.codebooks]
        total, static = (metrics.bits_per_second(specs, rate, values) for values in (bits, known))
        return {"codebooks": self.codebooks, "bits_per_second": total, "entropy_bits_per_second": static,
                "share": ratio(total, static),
                "by_codebook": [{"bits": own, "share": ratio(own, entropy)}
                                for own, entropy in zip(bits, known, strict=True)]}


def ratio(bits: float, entropy: float) -> float:
    """Bits as a share of an entropy; nan if that is zero."""
    return bits / entropy if entropy else math.nan


def load_exact_prior(prior: str | Path, model: str | Path, device: str) -> TokenPrior:
    """Loads a prior that stands on a tokenizer and has exact probabilities.

    Raises:
        FileNotFoundError: There is no such prior.
        ValueError: It stands on another tokenizer, or has no exact probabilities.
    """
    loaded = checkpoint.load_prior(prior, device)
    if not isinstance(loaded, TokenPrior) or not loaded.is_exact:
        raise ValueError(f"{prior} is a prior of kind {loaded.settings.kind}, which has no exact probabilities; wanted "
                         "autoregressive or pixelcnn")
    checkpoint.prior_autoencoder(prior, model)
    return loaded


def load_code_lengths(prior: str | Path, with_condition: bool, model: str | Path, store: Store, device: str
                      ) -> CodeLengths:
    """Loads a prior to measure code lengths, with the condition of every row of a store or without.

    Raises:
        ValueError: See `load_exact_prior`; or a condition is wanted, which the prior or the store does not have.
    """
    loaded = load_exact_prior(prior, model, device)
    if not with_condition:
        return CodeLengths(loaded)
    if loaded.condition is None:
        raise ValueError(f"{prior} is a prior without a condition; wanted one with labels, age or sex")
    return CodeLengths(loaded, condition_vectors(store, loaded.condition))


def describe_prior(prior: str | Path, store: Store, rows: np.ndarray, signal: SignalSpec) -> dict[str, Any]:
    """The `name` and `identity` of a prior, and the number of rows that it was trained on (`seen_in_training`)."""
    known = checkpoint.training_records(checkpoint.locate_prior(prior))
    return {"name": checkpoint.prior_name(prior), "identity": checkpoint.prior_config(prior)["identity"],
            "seen_in_training": count_seen(known, store, rows, signal)}
