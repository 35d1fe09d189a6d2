"""Validation during training: PRDN at every bit rate, and a picture of a few reconstructions."""

from pathlib import Path

import torch
from torch import Tensor

from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.metrics import prdn, summary
from ecgvae.models import Autoencoder
from ecgvae.plotting import plot_comparison
from ecgvae.signal import Record, SignalSpec

MAX_RECORDS, MAX_DRAWN_RECORDS, BATCH_SIZE = 128, 3, 32
WINDOW_SECONDS = 10


class Validation:
    """Measures a model on the first ten seconds of the first records of the validation split."""

    def __init__(self, store: Store, signal: SignalSpec, run: Path):
        self.signal, self.folder = signal, run / "pictures"
        rows = store.split("validation")[:MAX_RECORDS]
        self.names = store.records["name"].iloc[rows].tolist()
        length = round(WINDOW_SECONDS * store.rate)
        windows = Windows(store, rows, length, signal.coded) if len(rows) else None
        self.x: Tensor | None = windows.crops(windows.ends - windows.lengths) if windows else None

    @torch.inference_mode()
    def __call__(self, model: Autoencoder, step: int) -> tuple[dict[str, float], Path | None]:
        """Measures the model and draws a picture.

        Returns:
            The mean PRDN in % under `prdn_Q` for the first Q codebooks (only `prdn_1` where the latent is continuous),
            and the picture's path. A store without validation records gives no values and no picture.
        """
        if self.x is None:
            return {}, None
        device = next(model.parameters()).device
        by_batch = [[y.cpu() for y in model.reconstructions(x.to(device))] for x in self.x.split(BATCH_SIZE)]
        reconstructions = [torch.cat(outputs) for outputs in zip(*by_batch, strict=True)]
        picture = self.draw_picture(model, self.x, reconstructions[-1], step)
        return {f"prdn_{count}": mean_prdn(model, self.x, y) for count, y in enumerate(reconstructions, 1)}, picture

    def draw_picture(self, model: Autoencoder, x: Tensor, y: Tensor, step: int) -> Path | None:
        """Draws the first records, overlaid with their reconstructions; returns the path of the picture."""
        pairs = []
        for index, name in list(enumerate(self.names))[:MAX_DRAWN_RECORDS]:
            coded = torch.stack([x[index], y[index]]).to(model.expansion.device)
            target, reconstruction = (Record(signal, self.signal.rate, self.signal.leads, name)
                                      for signal in model.all_leads(coded).cpu().numpy())
            pairs.append((target, reconstruction))
        self.folder.mkdir(parents=True, exist_ok=True)
        return plot_comparison(pairs, self.folder / f"step-{step:06d}.png", overwrite=True)


def mean_prdn(model: Autoencoder, x: Tensor, y: Tensor) -> float:
    """The mean PRDN in % over all leads of all records, from the coded leads (b, c, t) in mV."""
    target, reconstruction = (model.all_leads(signal.to(model.expansion.device)).cpu().numpy() for signal in (x, y))
    return summary(prdn(target, reconstruction))["mean"]
