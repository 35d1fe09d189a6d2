"""Quick checks during training: PRDN at every rate on validation records, and pictures of some of them."""

from pathlib import Path

import torch

from ecgvae.data.dataset import Windows
from ecgvae.data.store import Store
from ecgvae.metrics import prdn, summary
from ecgvae.models import Autoencoder
from ecgvae.plotting import plot_comparison
from ecgvae.signal import Record, SignalSpec

RECORDS, PICTURES, SECONDS = 128, 3, 10


class Validation:
    """The first records of the validation split, ten seconds of each, always the same."""

    def __init__(self, store: Store, signal: SignalSpec, run: Path):
        self.signal, self.folder = signal, run / "pictures"
        rows = store.split("validation")[:RECORDS]
        self.names = store.records["name"].iloc[rows].tolist()
        length = round(SECONDS * store.rate)
        windows = Windows(store, rows, length, signal.coded) if len(rows) else None
        self.x = windows.crops(windows.ends - windows.lengths) if windows else None

    @torch.inference_mode()
    def __call__(self, model: Autoencoder, step: int) -> dict[str, float]:
        """Mean PRDN (%) at each of the model's rates, by column name."""
        if self.x is None:
            return {}
        device = next(model.parameters()).device
        batches = [[y.cpu() for y in model.reconstructions(x.to(device))] for x in self.x.split(32)]
        rates = [torch.cat(parts) for parts in zip(*batches, strict=True)]
        self.draw(model, rates[-1], step)
        return {f"prdn_{number}": self.prdn(model, y) for number, y in enumerate(rates, 1)}

    def prdn(self, model: Autoencoder, y: torch.Tensor) -> float:
        true, made = (model.all_leads(s.to(model.expansion.device)).cpu().numpy() for s in (self.x, y))
        return summary(prdn(true, made))["mean"]

    def draw(self, model: Autoencoder, y: torch.Tensor, step: int) -> None:
        pairs = []
        for index, name in list(enumerate(self.names))[:PICTURES]:
            both = model.all_leads(torch.stack([self.x[index], y[index]]).to(model.expansion.device)).cpu().numpy()
            pairs.append(tuple(Record(s, self.signal.rate, self.signal.leads, name) for s in both))
        self.folder.mkdir(parents=True, exist_ok=True)
        plot_comparison(pairs, self.folder / f"step-{step:06d}.png", overwrite=True)
