"""Features of records: what the layers of a frozen encoder make of them, a row for each window.

Shapes: w windows of a record, f features.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from ecgvae import checkpoint
from ecgvae.features.pooling import Pooling, find_pooling
from ecgvae.models import Autoencoder
from ecgvae.signal import Missing, Record, RecordFile, check_finite, conform_stream
from ecgvae.signal.amplitudes import AmplitudeMeter, Amplitudes
from ecgvae.signal.record import is_positive
from ecgvae.tokenizer.batching import Batches
from ecgvae.tokenizer.chunks import split_chunks
from ecgvae.tokenizer.threads import thread_pool
from ecgvae.wording import quote

WINDOW_SECONDS = 10.0
CPU_BATCH = 8               # windows at a time on a CPU; more do not fit its cache
BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class RecordFeatures:
    """The features of a record.

    Attributes:
        name: The record's name.
        values: A row for each window (w, f), float32.
        seconds: Where each window starts and ends in the record (w, 2).
        notes: What was repaired, resampled or left out.
    """

    name: str
    values: Float[np.ndarray, "w f"]
    seconds: Float[np.ndarray, "w 2"]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Extractor:
    """Layers of a frozen encoder, pooled over the frames of a window.

    Example:
        >>> extractor = Extractor.load("ptbxl-vqvae-conv")
        >>> features = extractor.extract([ecgvae.read_record("records/00001")])[0].values

    Attributes:
        model: The model.
        layers: Names of the layers, see `Autoencoder.feature_maps`.
        pool: A name of `POOLINGS`.
        window: Length of a window in seconds; None for the whole record.
        amplitudes: Those of the model's training data.
    """

    model: Autoencoder
    layers: tuple[str, ...]
    pool: str = "stats"
    window: float | None = WINDOW_SECONDS
    name: str = "model"
    amplitudes: Amplitudes | None = None
    saved_identity: str | None = None

    @classmethod
    def load(cls, model: str | Path, layers: Sequence[str] | None = None, pool: str = "stats",
             window: float | None = WINDOW_SECONDS, device: str = "auto") -> "Extractor":
        """Loads a model to extract features with.

        Args:
            model: The name of a shipped model, a checkpoint folder, or the folder of a training run.
            layers: Names of layers; by default the one in the middle of the encoder.
            pool: How the frames of a window are pooled: a name of `POOLINGS`.
            window: Length of a window in seconds; None for the whole record.
            device: A device by torch's name, or "auto" for a GPU if there is one.

        Raises:
            FileNotFoundError: There is no such model.
            ValueError: It is damaged or has no such layer, there is no such pooling, or torch cannot use the device.
        """
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder, device)
        return cls(module, tuple(layers) if layers is not None else default_layers(module), pool, window,
                   checkpoint.model_name(folder), checkpoint.amplitudes(folder), checkpoint.identity(folder))

    def __post_init__(self) -> None:
        self.model.check_layers(self.layers)
        find_pooling(self.pool)
        if self.window is not None and not is_positive(self.window):
            raise ValueError(f"window is {quote(self.window)}; wanted seconds above 0, or None")

    @cached_property
    def identity(self) -> str:
        """The hash of settings and weights of the model."""
        return self.saved_identity or checkpoint.identity(self.model)

    @property
    def pooling(self) -> Pooling:
        return find_pooling(self.pool)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The name of each feature, such as "layer3.17.mean"."""
        return tuple(f"{layer}.{channel}.{statistic}" for layer in self.layers
                     for channel in range(self.model.layers[layer].width) for statistic in self.pooling.names)

    def extract(self, records: Iterable[Record | RecordFile], missing: Missing = "error",
                lead_map: Mapping[str, str] | None = None, any_amplitude: bool = False,
                batch_size: int = BATCH_SIZE, on_error: Callable[[int, Exception], object] | None = None
                ) -> list[RecordFeatures]:
        """The features of records, in order; windows of equal length go through the model together.

        Args:
            records: The records.
            missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
            lead_map: Leads by channel name, for channels that are not named after their leads.
            any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
            batch_size: Windows that go through the model together.
            on_error: Called with the index of a record that cannot be used and the reason; the record is then left
                out. Without it the reason is raised.

        Raises:
            ValueError: A record cannot be used (without `on_error`).
        """
        device = self.model.expansion.device
        size = min(batch_size, CPU_BATCH) if device.type == "cpu" else batch_size
        done: list[RecordWindows] = []
        with thread_pool(device) as submit:
            batches = Batches(self._compute, size, submit)
            for index, record in enumerate(records):
                windows = RecordWindows(record, self, missing, lead_map, any_amplitude)
                try:
                    for number, signal in enumerate(windows.signals()):
                        batches.add(signal.shape[1], (windows, number, signal))
                except (ValueError, OSError) as error:
                    if on_error is None:
                        raise
                    on_error(index, error)
                    continue
                done.append(windows)
            batches.finish()
        return [windows.features() for windows in done]

    def _compute(self, batch: list[tuple["RecordWindows", int, np.ndarray]]) -> None:
        """Computes the features of windows of equal length and hands them to their records."""
        for (windows, number, _), row in zip(batch, self.pooled(np.stack([signal for *_, signal in batch])),
                                             strict=True):
            windows.rows[number] = row

    @torch.inference_mode()
    def pooled(self, signals: Float[np.ndarray, "b c t"]) -> Float[np.ndarray, "b f"]:
        """The features of coded leads in mV at the model's rate."""
        maps = self.model.feature_maps(torch.from_numpy(signals).to(self.model.expansion.device), self.layers)
        rows = [self.pooling.compute(maps[layer].float()).flatten(1) for layer in self.layers]
        return torch.cat(rows, 1).cpu().numpy()


class RecordWindows:
    """The windows of a record on their way to features.

    The rest of a record that is shorter than half a window is left out, unless it is all there is.
    """

    def __init__(self, record: Record | RecordFile, extractor: Extractor, missing: Missing,
                 lead_map: Mapping[str, str] | None, any_amplitude: bool):
        self.record, self.extractor = record, extractor
        self.missing: Missing = missing
        self.lead_map, self.any_amplitude = lead_map, any_amplitude
        self.rows: dict[int, np.ndarray] = {}
        self.notes: tuple[str, ...] = ()
        self.lengths: list[int] = []

    def signals(self) -> Iterator[np.ndarray]:
        """The coded leads (c, t) in mV of each window, at the model's rate."""
        window, rate = self.extractor.window, self.extractor.model.signal.rate
        size = max(1, round(window * rate)) if window else 1 << 62
        for chunk in split_chunks(self.blocks(), size, 0):
            length = chunk.signal.shape[1]
            if self.lengths and length < size / 2:
                self.notes += (f"the last {length / rate:.1f} s are left out",)
                return
            self.lengths.append(length)
            yield chunk.signal

    def blocks(self) -> Iterator[np.ndarray]:
        """The signal as the model wants it, block by block; the notes of repairs are kept."""
        record, extractor = self.record, self.extractor
        if isinstance(record, Record):
            check_finite(record.signal, record.name)
        meter = AmplitudeMeter(extractor.model.signal.rate)
        for block in conform_stream(record, extractor.model.signal, self.missing, lead_map=self.lead_map):
            self.notes = block.notes
            meter.add(block.signal)
            yield block.signal
        if extractor.amplitudes:
            if not self.any_amplitude:
                extractor.amplitudes.check(meter, record.name)
            self.notes += extractor.amplitudes.notes(meter, extractor.model.signal.coded)

    def features(self) -> RecordFeatures:
        """The features, when those of all windows are computed."""
        ends = np.cumsum(self.lengths) / self.extractor.model.signal.rate
        return RecordFeatures(self.record.name, np.stack([self.rows[number] for number in range(len(self.lengths))]),
                              np.stack([[0, *ends[:-1]], ends], 1), self.notes)


def default_layers(model: Autoencoder) -> tuple[str, ...]:
    """The layer in the middle of the encoder: later ones keep what reconstruction needs, not what tells ECGs apart."""
    names = [name for name in model.layers if name.startswith("layer")]
    return (names[len(names) // 2],)
