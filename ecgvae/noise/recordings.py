"""Recorded ECG noise: the files of the MIT-BIH noise stress test database, or others of their names."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.signal import open_record, resample

FILES = {"wander": "bw", "muscle": "ma", "electrode": "em"}     # Moody et al. 1984, Comput Cardiol 11:381


class Recordings:
    """Half of each noise recording of a folder, at some rate in Hz: the first to train with, the second to test.

    `signals` holds (channels, samples) mV by kind, for those of bw.hea, ma.hea and em.hea that are there.
    """

    def __init__(self, folder: str | Path, rate: float, half: Literal["first", "second"] = "first",
                 device: str | torch.device = "cpu"):
        paths = {kind: Path(folder) / file for kind, file in FILES.items()}
        self.signals: dict[str, Tensor] = {kind: load(path, rate, half).to(device) for kind, path in paths.items()
                                           if path.with_suffix(".hea").exists()}
        if not self.signals:
            raise ValueError(f"{folder} holds no recorded noise; wanted bw.hea, ma.hea or em.hea")

    def crops(self, kind: str, shape: tuple[int, int, int], generator: torch.Generator) -> Float[Tensor, "b c t"]:
        """Random stretches of a recording, a place, a channel and a sign for each lead; the generator's device."""
        recording, (*leads, samples) = self.signals[kind], shape
        places = recording.shape[1] - samples + 1
        if places < 1:
            raise ValueError(f"the recorded {kind} has {recording.shape[1]} samples; wanted {samples} or more")

        def integers(stop: int) -> Tensor:
            return torch.randint(stop, leads, generator=generator, device=generator.device)
        crops = recording.unfold(1, samples, 1)[integers(len(recording)), integers(places)]
        return crops * (2 * integers(2) - 1)[..., None]


def load(path: Path, rate: float, half: str) -> Float[Tensor, "channels samples"]:
    """Half of a recording, cut before it is resampled: the filter takes nothing over from the other half."""
    file = open_record(path)
    middle = file.samples // 2
    signal = (file.read(0, middle) if half == "first" else file.read(middle)).signal
    if not np.isfinite(signal).all():
        raise ValueError(f"{path}.hea has gaps; wanted noise without missing samples")
    return torch.from_numpy(resample(signal, file.rate, rate))
