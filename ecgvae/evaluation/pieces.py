"""Long records in pieces that a model sees one by one, so that memory does not grow with their length."""

import math
from dataclasses import dataclass

import numpy as np

from ecgvae.data.store import Store
from ecgvae.models import Autoencoder
from ecgvae.signal import Record, SignalSpec, conform, fit_leads, ratio

PIECE_SAMPLES = 1 << 14     # per lead at the model's rate (164 s at 100 Hz); the last piece has up to twice as many


@dataclass(frozen=True)
class Piece:
    """The samples from start to stop of a record; the model gets those from first to last."""

    first: int
    start: int
    stop: int
    last: int

    def __len__(self) -> int:
        """Number of samples that the model gets."""
        return self.last - self.first

    @property
    def inside(self) -> slice:
        """The piece's own samples within those that the model gets."""
        return slice(self.start - self.first, self.stop - self.first)

    def frames(self, rate: float, model: Autoencoder, hop: int) -> slice:
        """The piece's own frames of `hop` samples within those of the model; `rate` is the record's."""
        factors = ratio(rate, model.signal.rate)
        start, stop = (factors.length(sample) for sample in (self.inside.start, self.inside.stop))
        return slice(start // hop, -(-stop // hop))


def split_pieces(samples: int, rate: float, model: Autoencoder) -> list[Piece]:
    """Cuts a record where frames begin; the pieces of a convolutional model add up to what the whole record gives.

    Args:
        samples: Length of the record.
        rate: Its rate in Hz.
        model: The model, whose context decides the overlap.
    """
    to_model, to_record = ratio(rate, model.signal.rate), ratio(model.signal.rate, rate)
    model_step = math.lcm(to_model.up, model.total_hop)
    step = model_step // to_model.up * to_model.down
    context = sum(model.context) + to_record.halo       # samples of the model that a reconstructed one depends on
    halo = -(-(-(-context * to_model.down // to_model.up) + to_model.halo) // step) * step
    size = max(1, PIECE_SAMPLES // model_step) * step
    starts = [size * index for index in range(max(1, samples // size))]
    return [Piece(max(0, start - halo), start, stop, min(samples, stop + halo))
            for start, stop in zip(starts, [*starts[1:], samples], strict=True)]


def read_piece(store: Store, row: int, piece: Piece) -> Record:
    """The signal of a piece of a row, with the samples around it."""
    signal = store.signal(row, piece.first, piece.last)
    return Record(signal, store.rate, store.leads, str(store.records["name"].iloc[row]))


def conform_piece(store: Store, row: int, record: Record, signal: SignalSpec) -> np.ndarray:
    """The coded leads (c, t) of a piece of a row.

    Leads that its record lacked are 0 mV; unlike those of a record, they have no part in the fit of other leads.
    """
    if lacking := fit_leads(store.leads, signal.coded)[1]:
        raise ValueError(f"{store.path} has leads {', '.join(store.leads)}; the model wants {', '.join(signal.coded)}: "
                         f"{', '.join(lacking)} can't be derived")
    return conform(store.drop_absent(row, record), signal, "zero").signal
