"""Real ECGs through the latent of an autoencoder and back: what a perfect prior over latents would generate."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.data.jobs import Progress, no_progress
from ecgvae.evaluation.generation.sets import DECODED_AT_ONCE, EcgSet
from ecgvae.models import Autoencoder
from ecgvae.signal import Record, conform, resample
from ecgvae.tokenizer.decoding import expand_leads


@dataclass(frozen=True, eq=False)
class LatentAutoencoder:
    """An autoencoder whose latents are not quantized, with its name and identity."""

    model: Autoencoder
    name: str
    identity: str

    @classmethod
    def load(cls, model: str | Path) -> "LatentAutoencoder":
        """The autoencoder of a name or in a folder.

        Raises:
            FileNotFoundError: There is no such model.
            ValueError: It is damaged, or decodes with given leads, which samples do not have.
        """
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder, "cpu")
        if module.condition is not None and module.condition.leads:
            raise ValueError(f"{model} decodes with the given leads {', '.join(module.condition.leads)}; "
                             "wanted a model without")
        return cls(module, checkpoint.model_name(folder), checkpoint.identity(folder))

    @torch.inference_mode()
    def reconstruct(self, signals: np.ndarray, rate: float, leads: tuple[str, ...]) -> np.ndarray:
        """Signals (n, c, t) in mV, encoded to latents and decoded to the same leads, rate and length.

        Raises:
            ValueError: The model has not all of the leads, or wants others.
        """
        spec = self.model.signal
        if missing := [lead for lead in leads if lead not in spec.leads]:
            raise ValueError(f"{self.name} has leads {', '.join(spec.leads)}; wanted {', '.join(missing)} too")
        x = np.stack([conform(Record(signal, rate, leads, "real"), spec).signal for signal in signals])
        decoded = self.model.decode(self.model.encode(torch.from_numpy(x)), x.shape[-1]).numpy()
        return np.stack([resample(expand_leads(spec, coded, leads), spec.rate, rate)[:, :signals.shape[-1]]
                         for coded in decoded])


def reconstruct_real(real: EcgSet, autoencoder: LatentAutoencoder, progress: Progress = no_progress) -> EcgSet:
    """The ECGs that the latents of real ones decode to.

    Args:
        real: The real ECGs.
        autoencoder: The autoencoder.
        progress: Called with the number of ECGs done and their total.
    """
    decoded: list[np.ndarray] = []
    for start in range(0, len(real), DECODED_AT_ONCE):
        signals = real.signals[start:start + DECODED_AT_ONCE]
        decoded.append(autoencoder.reconstruct(signals, real.rate, real.leads))
        progress(start + len(signals), len(real))
    return replace(real, name="decoded", signals=np.concatenate(decoded), left_out=(), notes=())
