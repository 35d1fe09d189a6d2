"""Recorded ECG noise: the MIT-BIH noise stress test database, or other recordings with the same file names."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ecgvae.signal import open_record, resample
from ecgvae.signal.resample import check_upsampling

FILES = {"wander": "bw", "muscle": "ma", "electrode": "em"}     # Moody et al. 1984, Comput Cardiol 11:381


class NoiseRecordings:
    """One half of each noise recording in a folder. The first half is for training, the second for evaluation.

    Args:
        folder: A folder with some of the records bw, ma and em.
        rate: Sampling rate in Hz to which the recordings are resampled.
        half: The half to use.
        device: Device of `signals`.

    Attributes:
        signals: The recordings by kind of noise, (channels, samples) in mV.

    Raises:
        ValueError: The folder has none of the records, or one of them has missing samples or an impossible rate.
    """

    def __init__(self, folder: str | Path, rate: float, half: Literal["first", "second"] = "first",
                 device: str | torch.device = "cpu"):
        paths = {kind: Path(folder) / file for kind, file in FILES.items()}
        self.signals: dict[str, Tensor] = {kind: load_half(path, rate, half).to(device) for kind, path in paths.items()
                                           if path.with_suffix(".hea").exists()}
        if not self.signals:
            raise ValueError(f"{folder} holds no recorded noise; wanted bw.hea, ma.hea or em.hea")

    def crops(self, kind: str, shape: tuple[int, int, int], generator: torch.Generator) -> Float[Tensor, "b c t"]:
        """Random crops of a recording: each lead has its own position, channel and sign.

        Args:
            kind: A key of `signals`.
            shape: (b, c, t).
            generator: Source of the random numbers, on the device of `signals`.

        Raises:
            ValueError: The recording is shorter than a crop.
        """
        recording, (*leads, samples) = self.signals[kind], shape
        positions = recording.shape[1] - samples + 1
        if positions < 1:
            raise ValueError(f"the recorded {kind} has {recording.shape[1]} samples; wanted {samples} or more")

        def integers(stop: int) -> Tensor:
            return torch.randint(stop, leads, generator=generator, device=generator.device)
        crops = recording.unfold(1, samples, 1)[integers(len(recording)), integers(positions)]
        return crops * (2 * integers(2) - 1)[..., None]


def load_half(path: Path, rate: float, half: str) -> Float[Tensor, "channels samples"]:
    """One half of a recording, cut before resampling so that the other half does not leak into it."""
    file = open_record(path)
    check_upsampling(f"{path}.hea", file.rate, rate)
    middle = file.samples // 2
    signal = (file.read(0, middle) if half == "first" else file.read(middle)).signal
    if not np.isfinite(signal).all():
        raise ValueError(f"{path}.hea has gaps; wanted noise without missing samples")
    return torch.from_numpy(resample(signal, file.rate, rate))
