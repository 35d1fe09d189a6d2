"""Sets of ECGs that can be compared: of the same leads, rate and length."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from ecgvae.data.jobs import Progress, no_progress
from ecgvae.data.store import Store
from ecgvae.evaluation.probe import labels, patients
from ecgvae.signal import Record
from ecgvae.tokenizer import Tokenizer

SECONDS = 10.0              # of each ECG that are compared
LABEL_COLUMN = "superclass"
DECODED_AT_ONCE = 64
Remarks = tuple[tuple[str, str], ...]       # (record, text)


@dataclass(frozen=True, eq=False)
class EcgSet:
    """ECGs of the same leads, rate and length.

    Attributes:
        name: What they are, such as "samples".
        signals: Their signals (n, c, t) in mV, float32.
        rate: Sampling rate in Hz.
        leads: The name of each lead.
        labels: Whether each has each class of `CLASSES` (n, classes); None if no record has one.
        groups: The patient (or the record) of each (n,); those of one group are not independent.
        left_out: (record, reason) of each record that is not in the set.
        notes: (record, note) on what was resampled, cut or repaired.
    """

    name: str
    signals: Float[np.ndarray, "n c t"]
    rate: float
    leads: tuple[str, ...]
    labels: Bool[np.ndarray, "_ k"] | None
    groups: np.ndarray
    left_out: Remarks = ()
    notes: Remarks = ()

    def __post_init__(self) -> None:
        shape = self.signals.shape
        if len(shape) != 3 or shape[1] != len(self.leads) or not shape[2]:
            raise ValueError(f"{self.name} has signals {shape}; wanted (n, {len(self.leads)} leads, samples)")
        if not np.isfinite(self.signals).all():
            raise ValueError(f"{self.name} has samples that are not numbers; wanted mV")
        if len(self.groups) != len(self) or (self.labels is not None and len(self.labels) != len(self)):
            raise ValueError(f"{self.name} has {len(self)} signals; wanted as many groups and labels")

    def __len__(self) -> int:
        return len(self.signals)

    def __repr__(self) -> str:
        records, leads, _ = self.signals.shape
        return f"EcgSet({self.name!r}, {records} records, {leads} leads, {self.seconds:g} s at {self.rate:g} Hz)"

    @property
    def seconds(self) -> float:
        """Length of each ECG."""
        return self.signals.shape[2] / self.rate

    def take(self, rows: np.ndarray) -> "EcgSet":
        """The set of some rows, in their order."""
        return replace(self, signals=self.signals[rows], groups=self.groups[rows],
                       labels=None if self.labels is None else self.labels[rows])

    def cut(self, samples: int) -> "EcgSet":
        """The set of the first `samples` samples of each ECG."""
        return replace(self, signals=np.ascontiguousarray(self.signals[..., :samples]))


def store_set(store: Store, rows: np.ndarray, name: str, seconds: float = SECONDS) -> EcgSet:
    """The beginnings of rows of a store. Rows that are shorter, or whose record lacked a lead, are left out.

    Args:
        store: The store.
        rows: The rows.
        name: Name of the set.
        seconds: Length of each ECG.
    """
    samples, left_out, kept = round(seconds * store.rate), [], []
    for row in rows.tolist():
        record, length = store.records["name"].iloc[row], int(store.spans[row, 1])
        if length < samples:
            left_out.append((record, f"{length / store.rate:g} s long; wanted {seconds:g} s"))
        elif absent := store.absent_leads(row):
            left_out.append((record, f"lacks {', '.join(absent)}"))
        else:
            kept.append(row)
    if not kept:
        raise ValueError(f"{store.path} has no record of {seconds:g} s with all leads among the {name}")
    used = np.array(kept)
    classes = labels(store, used) if LABEL_COLUMN in store.records else None
    signals = np.stack([store.signal(row, 0, samples) for row in kept])
    return EcgSet(name, signals, store.rate, store.leads, classes, patients(store, used).astype(str), tuple(left_out))


def decode_real(real: EcgSet, tokenizer: Tokenizer, codebooks: int | None = None,
                progress: Progress = no_progress) -> EcgSet:
    """The ECGs that the tokens of real ones decode to, which is what a perfect prior over tokens would generate.

    Args:
        real: The real ECGs.
        tokenizer: The tokenizer.
        codebooks: Number of first codebooks to use; by default all.
        progress: Called with the number of ECGs done and their total.

    Raises:
        ValueError: The tokenizer wants leads that the ECGs don't have, or has other leads than they.
    """
    decoded: list[np.ndarray] = []
    for start in range(0, len(real), DECODED_AT_ONCE):
        records = [Record(signal, real.rate, real.leads, f"{real.name} {start + index}")
                   for index, signal in enumerate(real.signals[start:start + DECODED_AT_ONCE])]
        for tokens in tokenizer.encode_many(records, codebooks, any_amplitude=True):
            decoded.append(tokenizer.decode(tokens).select(real.leads).signal)
        progress(len(decoded), len(real))
    return replace(real, name="decoded", signals=np.stack(decoded), left_out=(), notes=())
